//! What breaks, and when: made of a seed, before anything runs.

use std::time::Duration;

use fastrand::Rng;
use switchboard_kit::chaos::{Cut, Weather};
use switchboard_kit::realtime::{Ending, Fault as ModelFault, When};

/// One fault of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) at: Duration,
    pub(crate) fault: Fault,
    /// Which of those it may strike, counted round among the ones that are there.
    pub(crate) whom: usize,
}

/// What breaks.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// A session that is open at the model, or the next one to be opened.
    Model(ModelFault),
    NextModel(ModelFault),
    /// The network to the model, or to Twilio.
    ModelWeather(Weather),
    ModelCut(Cut),
    PhoneWeather(Weather),
    PhoneCut(Cut),
    /// The hook's, in one call.
    Call(String),
    /// The hook's, in what calls share.
    Shared(String),
    Process(ProcessFault),
}

/// What happens to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessFault {
    /// SIGKILL and another start; meanwhile the front proxy holds clients, or nobody answers.
    Kill { held: bool },
    /// SIGTERM, and another start when it has left.
    Restart,
    /// Another start, then SIGTERM.
    Roll,
    /// SIGSTOP and SIGCONT.
    Freeze { ms: u64 },
    /// SIGSTOP, another start, every connection to the old one cut, SIGCONT, SIGTERM.
    Sleeper { ms: u64 },
    /// SIGHUP with a file that is good, or is not.
    Reload { good: bool },
}

/// Between two faults of a call, a socket or the network, on average and for as many calls.
const EVERY_MS_A_CALL: u64 = 25_000;

/// Between two faults of the process.
const PROCESS_EVERY_MS: (u64, u64) = (5_000, 14_000);

/// Nothing breaks so long before the end: the calls that are there end by themselves.
const CALM: Duration = Duration::from_secs(3);

/// The faults of a run of that length over so many calls at once, in the order they come.
pub(crate) fn plan(seed: u64, calls: usize, length: Duration) -> Vec<Planned> {
    let mut dice = Rng::with_seed(seed);
    let end = u64::try_from((length - CALM).as_millis()).unwrap();
    let mut plan = Vec::new();
    let every = EVERY_MS_A_CALL / calls as u64;
    let mut at = 1_500;
    while at < end {
        at += dice.u64(every / 4..every * 7 / 4);
        let fault = small(&mut dice);
        plan.push((at, fault));
    }
    let mut at = 0;
    loop {
        at += dice.u64(PROCESS_EVERY_MS.0..PROCESS_EVERY_MS.1);
        if at >= end {
            break;
        }
        plan.push((at, Fault::Process(process(&mut dice))));
    }
    plan.sort_by_key(|(at, _)| *at);
    let planned = plan.into_iter().map(|(at, fault)| Planned {
        at: Duration::from_millis(at),
        fault,
        whom: dice.usize(0..1_000),
    });
    planned.collect()
}

fn process(dice: &mut Rng) -> ProcessFault {
    match dice.u8(0..10) {
        0..=2 => ProcessFault::Kill { held: dice.bool() },
        3 => ProcessFault::Restart,
        4 | 5 => ProcessFault::Roll,
        6 => ProcessFault::Freeze {
            ms: dice.u64(300..2_500),
        },
        7 => ProcessFault::Sleeper {
            ms: dice.u64(1_000..3_000),
        },
        _ => ProcessFault::Reload { good: dice.bool() },
    }
}

fn small(dice: &mut Rng) -> Fault {
    match dice.u8(0..20) {
        0..=4 => Fault::Model(model(dice)),
        5 | 6 => Fault::NextModel(next_model(dice)),
        7 | 8 => Fault::ModelWeather(weather(dice, true)),
        9 | 10 => Fault::ModelCut(cut(dice)),
        11 => Fault::PhoneWeather(weather(dice, false)),
        12 => Fault::PhoneCut(cut(dice)),
        13..=18 => Fault::Call(of_call(dice)),
        _ => Fault::Shared(shared(dice)),
    }
}

fn cut(dice: &mut Rng) -> Cut {
    match dice.u8(0..3) {
        0 => Cut::Close,
        1 => Cut::HalfClose,
        _ => Cut::Reset,
    }
}

/// A black hole lasts as long as its connection, as one that ate bytes in the middle must.
fn weather(dice: &mut Rng, holes: bool) -> Weather {
    let fine = Weather::default();
    match dice.u8(0..4) {
        0 if holes => Weather {
            black_hole: true,
            ..fine
        },
        1 => Weather {
            bytes_per_second: Some(dice.u64(30_000..60_000)),
            ..fine
        },
        _ => Weather {
            delay: Duration::from_millis(dice.u64(20..150)),
            jitter: Duration::from_millis(dice.u64(0..150)),
            ..fine
        },
    }
}

fn when(dice: &mut Rng) -> When {
    match dice.u8(0..3) {
        0 => When::Now,
        1 => When::AfterMs(dice.u64(0..2_000)),
        _ => When::AfterDeltas(dice.u64(0..4)),
    }
}

fn model(dice: &mut Rng) -> ModelFault {
    let when = when(dice);
    match dice.u8(0..14) {
        0..=2 => ModelFault::Reset { when },
        3 => ModelFault::Close {
            code: dice.choice([1_000, 1_001, 1_011, 1_013]).unwrap(),
            reason: String::new(),
            when,
        },
        4 | 5 => ModelFault::Stall {
            ms: Some(dice.u64(500..12_000)),
            when,
        },
        6 => ModelFault::WithholdPong,
        7 => ModelFault::Expire {
            after_ms: dice.u64(500..5_000),
        },
        8 => ModelFault::Malformed { when },
        9 => ModelFault::ForeignDelta { when },
        10 => ModelFault::LateDeltas { count: 3 },
        11 => ModelFault::ItemsTwice,
        12 => ModelFault::Strangers,
        _ => ModelFault::FailResponses {
            count: dice.u32(1..3),
            ending: ending(dice),
        },
    }
}

fn ending(dice: &mut Rng) -> Ending {
    match dice.u8(0..4) {
        0 => Ending::ServerError,
        1 => Ending::RateLimited("350ms".to_owned()),
        2 => Ending::MaxOutputTokens,
        _ => Ending::Hangs,
    }
}

fn next_model(dice: &mut Rng) -> ModelFault {
    match dice.u8(0..4) {
        0 => ModelFault::RefuseUpgrade {
            status: dice.choice([500, 502, 503]).unwrap(),
            retry_after_s: None,
        },
        1 => ModelFault::RefuseUpgrade {
            status: 429,
            retry_after_s: Some(1),
        },
        2 => ModelFault::HangHandshake,
        _ => ModelFault::SlowHandshake {
            ms: dice.u64(200..3_000),
        },
    }
}

fn of_call(dice: &mut Rng) -> String {
    let panics = [
        "panic_in_step",
        "panic_in_effect",
        "panic_in_actor",
        "panic_unguarded",
        "panic_in_tool",
        "panic_in_model",
        "panic_in_phone",
    ];
    if dice.bool() {
        let kind = panics[dice.usize(0..panics.len())];
        return format!("{{\"kind\":\"{kind}\"}}");
    }
    // A step holds its thread and all calls on it; a phone session that is stuck can be ended by nobody.
    let (part, longest) = dice
        .choice([
            ("step", 1_500),
            ("actor", 8_000),
            ("model", 8_000),
            ("phone", 3_000),
        ])
        .unwrap();
    format!(
        "{{\"kind\":\"stall_{part}\",\"ms\":{}}}",
        dice.u64(200..longest)
    )
}

fn shared(dice: &mut Rng) -> String {
    match dice.u8(0..4) {
        0 => "{\"kind\":\"panic_in_metrics\"}".to_owned(),
        1 => "{\"kind\":\"panic_in_store\"}".to_owned(),
        2 => "{\"kind\":\"panic_in_registry\"}".to_owned(),
        _ => format!(
            "{{\"kind\":\"stall_store\",\"ms\":{}}}",
            dice.u64(100..3_000)
        ),
    }
}

#[test]
fn a_seed_makes_the_same_plan_each_time() {
    let shown = |seed| format!("{:?}", plan(seed, 50, Duration::from_secs(60)));
    assert_eq!(shown(7), shown(7));
    assert_ne!(shown(7), shown(8));
}

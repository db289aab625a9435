//! What only time brings about, with the time handed in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::engine::{Engine, Settings};
use super::faults::{Fault, When};
use super::inspect::{Recording, SessionLog};
use super::plan::{DeltaSize, Pace};
use super::prepared::Prepared;
use super::schema::known_models;
use super::script::Script;
use super::script_cursor::Resume;
use super::send_queue::Outgoing;
use crate::probe::PROBE_MAGIC;

const UNIX_NOW: u64 = 1_795_342_800;

struct Bench {
    engine: Engine,
    now: Instant,
}

impl Bench {
    fn new(faults: Vec<Fault>) -> Self {
        let now = Instant::now();
        let settings = Settings {
            script: Arc::new(Prepared::new(&Script::chat()).unwrap()),
            resume: Resume::Replayed,
            carried: Arc::default(),
            pace: Pace {
                think: Duration::from_millis(300),
                speed: 5.0,
                delta_size: DeltaSize::default(),
            },
            transcription_delay: Duration::from_millis(400),
            min_speech_ms: 60,
            seed: 1,
        };
        let model = known_models().remove(0);
        let log = Arc::new(SessionLog::new(1, now, Recording::Everything));
        let engine = Engine::new(Arc::new(settings), model, faults, log, UNIX_NOW, now);
        Self { engine, now }
    }

    /// A session that asked for µ-law and for idle questions.
    fn on_the_phone(faults: Vec<Fault>) -> Self {
        let mut bench = Self::new(faults);
        bench.say(json!({"type": "session.update", "session": {"type": "realtime", "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "turn_detection": {"type": "server_vad", "idle_timeout_ms": 6_000}},
            "output": {"format": {"type": "audio/pcmu"}},
        }}}));
        bench.out();
        bench
    }

    fn say(&mut self, event: Value) {
        self.engine.receive(&event.to_string(), self.now);
    }

    fn append(&mut self, audio: &[u8]) {
        self.say(json!({"type": "input_audio_buffer.append", "audio": STANDARD.encode(audio)}));
    }

    fn out(&mut self) -> Vec<Outgoing> {
        std::iter::from_fn(|| self.engine.next()).collect()
    }

    /// Lets that much time pass, deadline by deadline; when events came, counted from the beginning of that time.
    fn pass(&mut self, time: Duration) -> Vec<(Duration, Value)> {
        let start = self.now;
        let mut events = Vec::new();
        loop {
            for outgoing in self.out() {
                let value = match outgoing {
                    Outgoing::Event { text, .. } | Outgoing::Unrecorded(text) => {
                        serde_json::from_str(&text).unwrap()
                    }
                    Outgoing::Close { code, reason } => {
                        json!({"type": "CLOSE", "code": code, "reason": reason})
                    }
                    other => json!({"type": format!("{other:?}")}),
                };
                events.push((self.now - start, value));
            }
            match self.engine.deadline() {
                Some(at) if at <= start + time => {
                    self.now = self.now.max(at);
                    self.engine.tick(self.now);
                }
                _ => break,
            }
        }
        self.now = start + time;
        events
    }
}

fn when(events: &[(Duration, Value)], kind: &str) -> Vec<Duration> {
    let of_kind = events.iter().filter(|(_, event)| event["type"] == kind);
    of_kind.map(|(at, _)| *at).collect()
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn an_answer_thinks_then_comes_at_five_times_real_time() {
    let mut bench = Bench::on_the_phone(vec![]);
    bench.say(json!({"type": "response.create"}));
    let events = bench.pass(Duration::from_secs(4));
    let deltas = when(&events, "response.output_audio.delta");
    assert_eq!(deltas[0], ms(300));
    let clip = crate::speech::receptionist("greeting").unwrap();
    let done = when(&events, "response.done")[0];
    let expected = ms(300) + ms(clip.duration_ms()) / 5;
    assert!(done.abs_diff(expected) < ms(2), "{done:?} {expected:?}");
}

#[test]
fn an_idle_caller_is_asked_after_the_answer_could_have_been_heard() {
    let mut bench = Bench::on_the_phone(vec![]);
    bench.append(&[0xFF; 8_000 * 7]);
    bench.say(json!({"type": "response.create"}));
    let events = bench.pass(Duration::from_secs(13));
    let clip = crate::speech::receptionist("greeting").unwrap();
    let done = when(&events, "response.done");
    let idle = when(&events, "input_audio_buffer.timeout_triggered");
    assert_eq!(idle[0] - done[0], ms(clip.duration_ms() + 6_000));
    let triggered = events
        .iter()
        .find(|(_, event)| event["type"] == "input_audio_buffer.timeout_triggered");
    let triggered = &triggered.unwrap().1;
    assert_eq!(
        (&triggered["audio_start_ms"], &triggered["audio_end_ms"]),
        (&json!(1_000), &json!(7_000))
    );
    let question = &events.last().unwrap().1["response"]["output"][0]["content"][0]["transcript"];
    assert_eq!(question, "Are you still there?");
}

#[test]
fn speech_keeps_the_idle_question_away() {
    let mut bench = Bench::on_the_phone(vec![]);
    bench.say(json!({"type": "response.create"}));
    bench.pass(Duration::from_secs(5));
    bench.append(crate::speech::caller("yes").unwrap().mulaw());
    let events = bench.pass(Duration::from_secs(60));
    assert!(when(&events, "input_audio_buffer.timeout_triggered").is_empty());
}

#[test]
fn a_session_is_over_after_an_hour_or_when_told_so() {
    let mut bench = Bench::new(vec![]);
    let events = bench.pass(Duration::from_secs(3_601));
    assert_eq!(events[0].1["session"]["expires_at"], UNIX_NOW + 3_600);
    let (at, close) = events.last().unwrap();
    assert_eq!(*at, Duration::from_secs(3_600));
    assert_eq!(
        *close,
        json!({"type": "CLOSE", "code": 1001, "reason": "Your session hit the maximum duration of 60 minutes."})
    );
    assert_eq!(
        events[events.len() - 2].1["error"]["code"],
        "session_expired"
    );

    let mut bench = Bench::new(vec![Fault::Expire { after_ms: 20_000 }]);
    let events = bench.pass(Duration::from_secs(21));
    assert_eq!(events[0].1["session"]["expires_at"], UNIX_NOW + 20);
    assert_eq!(events.last().unwrap().0, Duration::from_secs(20));
}

#[test]
fn faults_strike_in_the_middle_of_an_answer() {
    let fault = Fault::Reset {
        when: When::AfterDeltas(3),
    };
    let mut bench = Bench::on_the_phone(vec![fault]);
    bench.say(json!({"type": "response.create"}));
    let events = bench.pass(Duration::from_secs(4));
    let reset = events
        .iter()
        .position(|(_, event)| event["type"] == "Reset")
        .unwrap();
    let before = &events[..reset];
    assert_eq!(when(before, "response.output_audio.delta").len(), 3);
    assert_eq!(
        before.last().unwrap().1["type"],
        "response.output_audio.delta"
    );
}

#[test]
fn the_echo_lasts_while_probes_come_and_ends_with_ordinary_audio() {
    let mut probe = PROBE_MAGIC.to_vec();
    probe.resize(160, 0x11);
    let mut bench = Bench::on_the_phone(vec![]);
    bench.say(json!({"type": "response.create"}));
    bench.pass(ms(500));
    bench.append(&probe);
    let events = bench.pass(ms(10));
    // The greeting is cut as by speech, so that it is not in the way.
    let kinds: Vec<&str> = events
        .iter()
        .map(|(_, event)| event["type"].as_str().unwrap())
        .collect();
    let started = kinds
        .iter()
        .position(|kind| *kind == "input_audio_buffer.speech_started")
        .unwrap();
    let done = kinds
        .iter()
        .position(|kind| *kind == "response.done")
        .unwrap();
    let created = kinds
        .iter()
        .position(|kind| *kind == "response.created")
        .unwrap();
    assert!(started < done && done < created, "{kinds:?}");
    assert_eq!(*kinds.last().unwrap(), "response.output_audio.delta");
    assert_eq!(events.last().unwrap().1["delta"], STANDARD.encode(&probe));

    for _ in 0..9 {
        bench.now += ms(20);
        bench.append(&probe);
    }
    bench.append(&[0xFF; 160]);
    let events = bench.pass(ms(1_100));
    assert_eq!(events.len(), 9, "silence between probes changes nothing");
    bench.append(&[0xFF; 160]);
    let events = bench.pass(ms(10));
    let done = &events.last().unwrap().1["response"];
    assert_eq!(done["status"], "completed");
    assert_eq!(
        done["usage"]["output_token_details"]["audio_tokens"],
        200 / 50
    );
}

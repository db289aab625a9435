//! F1 and F6: a session that is reset, and one that is swallowed by the network.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use call_protocol::audio::{FRAME_BYTES, FRAME_MS};
use serde_json::Value;
use switchboard_kit::chaos::{Chaos, Cut, Passage, Weather};
use switchboard_kit::realtime::{Realtime, Resume, Session};
use switchboard_kit::twilio::{CallEnd, CallOutcome, Step, is_loud};
use tokio::task::JoinHandle;

use test_support::chaos_fixture::{
    behind_chaos, longest_silence_ms, neighbours, noticed_nothing, talking_line,
    turn_with_neighbours,
};
use test_support::{SOON, TestService, brief, brief_with, caller, listen, say, times, tone, until};

/// Calls a fault strikes at once.
const FAULTED: usize = 5;

/// Calls beside them that must not notice: fifty in all talk both ways.
const OTHERS: u32 = 45;

/// How often the resets are repeated.
const ROUNDS: usize = 5;

/// Silence after which filler comes, and the pause of its pattern.
const SILENCE_MS: u64 = 2_300;

/// What a transcript may be off in a call: 20 ms at either end of each stretch of sound.
const TRANSCRIPT_MS: u64 = 240;

/// Its first answer takes four seconds; a second session goes on where the first one stopped.
fn talkative() -> Realtime {
    brief_with(|script| {
        script.turns = vec![tone(
            660,
            4_000,
            "We have time at nine, at ten and at eleven.",
        )];
        // Where the last session stopped is where the next one goes on, whoever's it is: later calls get these.
        script.otherwise = tone(660, 2_000, "Or tomorrow.");
        script.turns[0].hears = Some("Yes.".to_owned());
        script.otherwise.hears = Some("Thanks.".to_owned());
    })
    .resume(Resume::CarryOn)
    .transcription_delay_ms(50)
}

/// Callers in the middle of a long answer, on the newest connections to the model.
async fn in_mid_answer(service: &TestService) -> Vec<JoinHandle<CallOutcome>> {
    let before = service.model.sessions().len();
    let mut calls = Vec::new();
    for _ in 0..FAULTED {
        let line = talking_line(service);
        let steps = [
            listen(),
            say("yes"),
            listen(),
            say("thanks"),
            listen(),
            // Time to read on the operator's page what was heard.
            Step::Wait { ms: 1_000 },
            Step::HangUp,
        ];
        calls.push(tokio::spawn(async move { line.call(caller(steps)).await }));
    }
    until("the faulted calls are being answered", SOON, async || {
        let sessions = service.model.sessions();
        let speaks = |session: &Session| {
            session
                .responses()
                .get(1)
                .is_some_and(|answer| answer.audio_ms > 600)
        };
        sessions.len() == before + FAULTED && sessions[before..].iter().all(speaks)
    })
    .await;
    calls
}

/// From the fault to the first audio of each next session, sorted.
fn first_audio_after(service: &TestService, since: Instant) -> Vec<Duration> {
    let sessions = service.model.sessions();
    let next = sessions.iter().filter(|session| {
        session.opened() >= since
            && session
                .replayed()
                .iter()
                .any(|item| item.text.contains("Do not greet again"))
    });
    let mut waits: Vec<Duration> = next
        .filter_map(|session| session.responses().iter().find_map(|one| one.first_audio))
        .map(|heard| heard - since)
        .collect();
    waits.sort();
    waits
}

/// Reads the faulted calls' pages as long as they live; gives the last of each, by call.
async fn pages(service: &TestService) -> BTreeMap<String, Value> {
    let mut pages = BTreeMap::new();
    loop {
        let listing = service.calls().await;
        let rows = listing["calls"].as_array().cloned().unwrap_or_default();
        let faulted = rows.iter().filter(|row| row["agent"] == "spa");
        let faulted: Vec<_> = faulted.filter_map(|row| row["call_sid"].as_str()).collect();
        if faulted.is_empty() {
            return pages;
        }
        for call in faulted {
            let page = service
                .operator("GET", &format!("/admin/calls/{call}"))
                .await;
            if page.status == 200 {
                pages.insert(call.to_owned(), page.json());
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The transcript of a call has the caller's two turns and every millisecond of the agent that its phone played; gives
/// the difference in milliseconds.
fn is_intact(page: &Value, outcome: &CallOutcome) -> u64 {
    let turns = page["turns"].as_array().unwrap();
    let of = |who: &str| {
        turns
            .iter()
            .filter(|turn| turn["who"] == who)
            .collect::<Vec<_>>()
    };
    let said: Vec<_> = of("caller")
        .iter()
        .map(|turn| turn["said"].clone())
        .collect();
    // The script goes on from call to call, so that later ones hear its later words.
    assert_eq!(said.len(), 2, "{page:#}");
    assert!(
        (said[0] == "Yes." || said[0] == "Thanks.") && said[1] == "Thanks.",
        "{page:#}"
    );
    let agent = of("agent");
    assert!(agent.len() >= 4, "{page:#}");
    assert!(agent.iter().all(|turn| turn["heard"] != ""), "{page:#}");
    let cut = agent.iter().filter(|turn| turn["cut"] == true).count();
    assert_eq!(cut, 1, "the answer that was reset: {page:#}");
    let noted: u64 = agent
        .iter()
        .map(|turn| turn["heard_ms"].as_u64().unwrap())
        .sum();
    // Frames and not stretches: a phone that runs dry for a moment has a longer stretch of the same sound.
    let frames = outcome.streams[0].heard.chunks(FRAME_BYTES);
    let heard = frames.filter(|frame| is_loud(frame)).count() as u64 * FRAME_MS;
    let difference = noted.abs_diff(heard);
    assert!(
        difference <= TRANSCRIPT_MS,
        "{noted} ms noted, {heard} ms heard: {page:#}"
    );
    difference
}

/// Waits for the faulted calls' ends; gives how each of them went.
async fn go_on(calls: Vec<JoinHandle<CallOutcome>>) -> Vec<CallOutcome> {
    let mut outcomes = Vec::new();
    for call in calls {
        let outcome = call.await.unwrap();
        assert_eq!(
            outcome.end,
            CallEnd::CallerHungUp,
            "{:?}",
            outcome.streams[0].agent_speech
        );
        assert_eq!(outcome.complaints(), []);
        assert_eq!(outcome.streams.len(), 1, "the media socket is the same");
        outcomes.push(outcome);
    }
    outcomes
}

/// The longest silence of them all.
async fn goes_on(calls: Vec<JoinHandle<CallOutcome>>) -> u64 {
    let outcomes = go_on(calls).await;
    outcomes.iter().map(longest_silence_ms).max().unwrap_or(0)
}

/// The newest connections.
fn passages(chaos: &Chaos) -> Vec<Passage> {
    let passages = chaos.passages();
    passages[passages.len() - FAULTED..].to_vec()
}

/// Waits for the neighbours' sessions: theirs are the first.
async fn others_are_there(service: &TestService) {
    until("the neighbours are there", SOON * 2, async || {
        service.model.sessions().len() >= OTHERS as usize
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_a_reset_in_mid_call_costs_a_pause_and_not_the_call() {
    let _turn = turn_with_neighbours().await;
    let (service, chaos) = behind_chaos(talkative()).await;
    let others = neighbours(&service, OTHERS, Duration::from_secs(40));
    others_are_there(&service).await;
    let mut waits = Vec::new();
    let (mut silence_ms, mut differs_ms) = (0, 0);
    for _ in 0..ROUNDS {
        let calls = in_mid_answer(&service).await;
        let since = Instant::now();
        for passage in passages(&chaos) {
            passage.cut(Cut::Reset);
        }
        let (outcomes, pages) = tokio::join!(go_on(calls), pages(&service));
        for outcome in &outcomes {
            silence_ms = silence_ms.max(longest_silence_ms(outcome));
            differs_ms = differs_ms.max(is_intact(&pages[&outcome.call_sid], outcome));
        }
        waits.extend(first_audio_after(&service, since));
    }
    waits.sort();
    assert_eq!(waits.len(), ROUNDS * FAULTED);
    let [p50, p95] = [50, 95].map(|share| waits[(waits.len() * share).div_ceil(100) - 1]);
    times::within(p95, Duration::from_millis(1_500), &waits);
    times::within_ms(silence_ms, SILENCE_MS, "silence");
    let others = noticed_nothing(&others.await.unwrap());
    service.stop().await;
    println!(
        "F1 {} resets in mid-answer: audio of the next session after p50 {} ms, p95 {} ms (bar 1,500); longest silence in \
         these calls {silence_ms} ms; their transcripts whole, at most {differs_ms} ms of sound off; {others}",
        waits.len(),
        p50.as_millis(),
        p95.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f6_a_black_hole_is_noticed_within_ten_seconds() {
    let _turn = turn_with_neighbours().await;
    let (service, chaos) = behind_chaos(talkative()).await;
    let others = neighbours(&service, OTHERS, Duration::from_secs(20));
    others_are_there(&service).await;
    let calls = in_mid_answer(&service).await;
    let since = Instant::now();
    for passage in passages(&chaos) {
        passage.weather(Weather {
            black_hole: true,
            ..Weather::default()
        });
    }
    let silence_ms = goes_on(calls).await;
    let sessions = service.model.sessions();
    let again = sessions.iter().filter(|session| {
        session.opened() >= since
            && session
                .replayed()
                .iter()
                .any(|item| item.text.contains("Do not greet again"))
    });
    let noticed: Vec<Duration> = again.map(|session| session.opened() - since).collect();
    let worst = noticed.iter().max().copied().unwrap();
    assert_eq!(noticed.len(), FAULTED);
    // Dialled again a quarter of a second after it was noticed, at most.
    times::within(worst, Duration::from_millis(10_300), &noticed);
    let waits = first_audio_after(&service, since);
    assert_eq!(waits.len(), FAULTED);
    let audio = waits[FAULTED - 1];
    let bar = Duration::from_millis(1_500);
    times::within(audio.saturating_sub(worst), bar, &waits);
    times::within_ms(silence_ms, SILENCE_MS, "silence");
    let others = noticed_nothing(&others.await.unwrap());
    service.stop().await;
    println!(
        "F6 black hole under {FAULTED} sessions: dialled again after {worst:?}, bar 10 s and the back-off; audio {:?} after \
         that at the latest (bar 1.5 s); longest silence {silence_ms} ms (bar {SILENCE_MS}); {others}",
        audio.saturating_sub(worst)
    );
}

/// A path that breaks often swallows everything for a second before anybody is told. A caller who spoke meanwhile is not
/// left to wait for an answer that nobody owes them.
#[tokio::test]
async fn f1_a_caller_who_spoke_to_a_server_that_was_gone_already_is_asked_again() {
    let (service, chaos) = behind_chaos(brief()).await;
    let steps = [listen(), say("yes"), listen(), Step::HangUp];
    let line = talking_line(&service);
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    until("the greeting is over", SOON, async || {
        service.calls().await["calls"][0]["turns"] == 1
    })
    .await;
    let [passage] = &chaos.passages()[..] else {
        panic!("one session")
    };
    passage.weather(Weather {
        black_hole: true,
        ..Weather::default()
    });
    // The caller begins 400 ms after the greeting; the session itself gives a silent server three seconds.
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    passage.cut(Cut::Reset);
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let stream = &outcome.streams[0];
    assert_eq!(stream.agent_speech.len(), 2, "{:?}", stream.agent_speech);
    let sessions = service.model.sessions();
    let told = sessions[1].replayed();
    assert!(
        told.iter()
            .any(|item| item.text.contains("could not hear the caller")),
        "{told:?}"
    );
    let silence_ms = longest_silence_ms(&outcome);
    times::within_ms(silence_ms, SILENCE_MS, "silence");
    service.stop().await;
    println!(
        "F1 a reset a second after the server was last heard, the caller speaking: they are asked to say it again, {silence_ms} ms without a sound"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_bad_weather_is_no_fault() {
    let (service, chaos) = behind_chaos(talkative()).await;
    chaos.weather(Weather {
        delay: Duration::from_millis(80),
        jitter: Duration::from_millis(60),
        ..Weather::default()
    });
    let calls = in_mid_answer(&service).await;
    goes_on(calls).await;
    let scrape = service.metrics().await;
    assert_eq!(scrape.get("switchboard_model_reconnect_seconds_count"), 0.0);
    let dropped =
        scrape.get("switchboard_audio_frames_total{direction=\"from_caller\",result=\"dropped\"}");
    assert_eq!(dropped, 0.0);
    service.stop().await;
    println!(
        "F1 80 to 140 ms each way to the model: {FAULTED} calls, 0 sessions lost, 0 frames dropped"
    );
}

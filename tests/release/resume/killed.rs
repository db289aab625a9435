//! The process is killed in the middle of its calls, and another one goes on with all of them.

use std::time::{Duration, Instant};

use switchboard_kit::twilio::{CallEnd, Step, StreamEnd};

use test_support::child::Serving;
use test_support::process_fixture::{
    Folder, Timed, at, have_turns, lasting_address, line_with_fallback, metrics, percentile,
};
use test_support::{MODEL_KEY, SOON, brief_with, listen, say, times, tone, turns};

/// The number's fallback URL, kept where it is always reachable: while no process listens, Twilio waits a second and
/// asks again. Without it Twilio ends a call whose `action` request fails (error 11200).
const STANDBY: &str = "<Response><Pause length=\"1\"/>\
    <Redirect method=\"POST\">https://spa.example/after-stream</Redirect></Response>";

/// Longer than it takes the next process to be heard.
const GOING_ON_MS: u64 = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_process_ends_no_call() {
    let _turn = turns::of(20).await;
    println!("{}", kill_with(20).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "release gate: 100 calls"]
async fn a_killed_process_ends_none_of_a_hundred_calls() {
    let _gate = times::release_gate().await;
    let _alone = turns::alone().await;
    println!("{}", kill_with(100).await);
}

/// Kills a process in the middle of so many calls and starts another; gives the figures.
async fn kill_with(calls: usize) -> String {
    let folder = Folder::new();
    let model = brief_with(|script| {
        script.turns = vec![
            tone(660, 500, "Yes."),
            tone(660, 12_000, "We have time at nine, and so on."),
        ];
        for (turn, words) in script.turns.iter_mut().zip(["Hello.", "Thanks."]) {
            turn.hears = Some(words.to_owned());
        }
    });
    let model = model
        .transcription_delay_ms(50)
        .keys([MODEL_KEY])
        .start()
        .await
        .unwrap();
    let variables = at(folder.variables(&model.url(), &[]), lasting_address());
    let mut first = Serving::start(&variables).await;
    let line = line_with_fallback(first.public, STANDBY).await;
    let answered = calls / 2;
    let running: Vec<_> = (0..calls)
        .map(|number| {
            let line = line.clone();
            let mut steps = vec![listen(), say("hello"), listen()];
            // From here on the first process is dead; half of the callers are in the middle of an answer.
            if number < answered {
                // That answer ends with the process, and so does the wait for its end; or, where the next process is quick,
                // with what that one says.
                steps.extend([say("thanks"), listen(), Step::Wait { ms: GOING_ON_MS }]);
            } else {
                steps.push(listen());
            }
            steps.extend([say("yes"), listen(), Step::HangUp]);
            tokio::spawn(async move {
                let began = Instant::now();
                let caller = switchboard_kit::twilio::Scripted::new(steps, 60_000);
                let outcome = line.call(caller).await;
                Timed { began, outcome }
            })
        })
        .collect();
    have_turns(&first, calls, 3).await;
    have_turns(&first, answered, 5).await;
    // The last of them has begun its answer of half a second; the callers hear it out, and 400 ms of silence after it.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let sessions_before = model.sessions().len();
    first.signal("KILL");
    let killed = Instant::now();
    // A supervisor starts the next one when this one is gone: until then its listener is open.
    first.ended(SOON).await;
    let second = Serving::start(&variables).await;
    let up = Instant::now();

    let mut until_audio = Vec::new();
    let mut silences = Vec::new();
    let mut resumed = 0;
    for call in running {
        let call = call.await.unwrap();
        let outcome = &call.outcome;
        assert_eq!(outcome.end, CallEnd::CallerHungUp, "{:?}", outcome.verbs);
        assert_eq!(outcome.streams.len(), 2, "{:?}", outcome.documents);
        let lost = &outcome.streams[0].end;
        assert!(matches!(lost, StreamEnd::ServerDropped { .. }), "{lost:?}");
        assert!(outcome.dialled().is_empty() && outcome.said_by_twiml().is_empty());
        let heard = call.heard_on(1).expect("the agent is heard again");
        until_audio.push(heard.saturating_duration_since(up).as_millis() as u64);
        silences.extend(call.gaps_ms());
        // "Going on", then the answer to "yes".
        assert!(outcome.streams[1].agent_speech.len() >= 2, "{outcome:?}");
        resumed += 1;
    }
    let scrape = metrics(&second).await;
    assert_eq!(
        scrape.get("switchboard_resumes_total{result=\"ok\"}") as usize,
        calls
    );
    assert_eq!(
        scrape.get("switchboard_resumes_total{result=\"failed\"}"),
        0.0
    );
    assert!(second.event("resumed").is_some());

    // Every session of the second process was told what had been heard, and asked to go on. Of those who were being
    // answered nothing but that answer may be missing.
    let sessions = model.sessions();
    let mut interrupted = 0;
    assert_eq!(sessions.len() - sessions_before, calls);
    for session in &sessions[sessions_before..] {
        let told = session.received_of("conversation.item.create");
        let text = told[0]["item"]["content"][0]["text"].as_str().unwrap();
        assert!(
            text.contains("The line was interrupted for a moment"),
            "{text}"
        );
        for turn in ["You: Hello.\n", "Caller: Hello.\n", "You: Yes.\n"] {
            assert!(text.contains(turn), "{turn:?} in {text}");
        }
        interrupted += usize::from(text.contains("Caller: Thanks.\n"));
        let asked = session.received_of("response.create");
        let wish = asked[0]["response"]["instructions"].as_str().unwrap();
        assert!(wish.contains("Do not greet again"), "{wish}");
    }
    assert_eq!(
        interrupted, answered,
        "what those said who were being answered"
    );
    let p95 = percentile(&mut until_audio, 95);
    times::within_ms(p95, 3_000, &until_audio);
    let figures = format!(
        "F12 kill -9 with {calls} calls, {answered} of them in mid-answer: {resumed} of {calls} went on, told every turn but \
         the one in flight; up again after {} ms; from there to audio p50 {} ms, \
         p95 {p95} ms (bar 3,000), max {} ms; silence for the caller p95 {} ms",
        up.duration_since(killed).as_millis(),
        percentile(&mut until_audio, 50),
        percentile(&mut until_audio, 100),
        percentile(&mut silences, 95),
    );
    let exit = second.stop_within(SOON).await;
    times::within(exit, Duration::from_secs(2), "exit");
    figures
}

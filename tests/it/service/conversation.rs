//! The conversation itself, over real sockets: interruption, goodbye, silence, keys, holes, wrong audio, the first word.
//!
//! Each test prints its figure last.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_kit::realtime::{Fault, Realtime, Session, ToolCall};
use switchboard_kit::twilio::twiml::Verb;
use switchboard_kit::twilio::{
    CallEnd, CallOutcome, DialAnswer, Fault as LineFault, PlaybackStep, Step, StreamEnd,
    StreamOutcome, wav,
};

use test_support::{Options, TestService, brief, brief_with, caller, listen, say, times, tone};

/// A model that greets briefly and then says something long, to be interrupted.
fn long_winded() -> Realtime {
    brief_with(|script| {
        script.otherwise = tone(660, 9_000, "a long list of times that nobody waits for")
    })
}

/// The error events the model sent.
fn complaints(session: &Session) -> Vec<Value> {
    session.sent_of("error")
}

/// How much of the audio between two moments the caller heard before the `clear`, by the phone's own books.
fn heard_before_clear(stream: &StreamOutcome, nth: usize) -> (u64, u64) {
    let mut clears = 0;
    let mut run_bytes = 0;
    for entry in &stream.playback {
        match &entry.what {
            PlaybackStep::Media {
                bytes,
                after_silence,
                ..
            } => {
                if *after_silence {
                    run_bytes = 0;
                }
                run_bytes += *bytes as u64;
            }
            PlaybackStep::Cleared { discarded_ms, .. } => {
                if clears == nth {
                    return (run_bytes / 8 - discarded_ms, entry.at_ms);
                }
                clears += 1;
                run_bytes = 0;
            }
            PlaybackStep::MarkReceived { .. } | PlaybackStep::MarkEchoed { .. } => {}
        }
    }
    panic!("no clear number {nth}");
}

/// The model's memory was cut in the middle of what was said, at what was heard of it.
#[track_caller]
fn is_what_was_heard(cut_ms: u64, heard_ms: u64, said_ms: u64) {
    let about = format!("cut at {cut_ms} ms, heard {heard_ms} ms of {said_ms}");
    assert!((1..said_ms).contains(&cut_ms), "{about}");
    times::within_ms(cut_ms.abs_diff(heard_ms), 40, about);
}

async fn service(model: Realtime, agent: &str) -> TestService {
    let mut options = Options::default().model(model);
    options.toml = format!(
        "[agents.spa]\ninstructions = \"You answer the phone of a spa.\"\n{agent}\n[fallback]\nsay = \"We have a technical problem.\"\ndial = \"+15550199\"\n\
         [transfer.targets]\nfront_desk = \"+15550111\"\n"
    );
    TestService::start(options).await
}

const GREETS: &str = "greeting = { mode = \"model\", text = \"Greet the caller.\" }";

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_cuts_the_model_s_memory_at_what_was_heard() {
    let service = service(long_winded(), GREETS).await;
    let steps = [
        listen(),
        say("hello"),
        Step::WaitToInterrupt { after_ms: 1_700 },
        say("interrupt"),
        Step::WaitToInterrupt { after_ms: 900 },
        say("yes"),
        Step::WaitToInterrupt { after_ms: 500 },
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    let session = service.model.session(1).unwrap();
    assert_eq!(complaints(&session), Vec::<Value>::new());
    assert_eq!(
        session.received_of("response.cancel"),
        Vec::<Value>::new(),
        "the server cancels by itself"
    );
    let stream = &outcome.streams[0];
    let cut: Vec<u64> = session
        .items()
        .iter()
        .filter_map(|item| item.truncated_to_ms)
        .collect();
    assert_eq!(cut.len(), 2, "{cut:?}");
    for (nth, cut_ms) in cut.iter().enumerate() {
        let (heard_ms, _) = heard_before_clear(stream, nth);
        is_what_was_heard(*cut_ms, heard_ms, 9_000);
        println!(
            "truncation error: {} ms (cut at {cut_ms} ms, heard {heard_ms} ms)",
            cut_ms.abs_diff(heard_ms)
        );
    }
    let (_, cleared_at) = heard_before_clear(stream, 0);
    let speech = stream.caller_speech[1].from_ms;
    println!(
        "clear came {} ms after the caller's first sound (voice activity needs 60 ms of it)",
        cleared_at - speech
    );
    times::within_ms(stream.overlaps()[0], 300, "the agent went on");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greeting_can_be_interrupted() {
    let model =
        brief_with(|script| script.greeting = tone(440, 6_000, "A very long welcome to the spa."));
    let service = service(model, GREETS).await;
    let steps = [
        Step::WaitToInterrupt { after_ms: 800 },
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(outcome.complaints(), []);
    let session = service.model.session(1).unwrap();
    assert_eq!(complaints(&session), Vec::<Value>::new());
    let (heard_ms, _) = heard_before_clear(&outcome.streams[0], 0);
    let cut_ms = session
        .items()
        .iter()
        .find_map(|item| item.truncated_to_ms)
        .expect("the greeting was cut");
    is_what_was_heard(cut_ms, heard_ms, 6_000);
    println!("greeting cut at {cut_ms} ms, heard {heard_ms} ms");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_does_not_cancel_we_do() {
    let slow = long_winded().speed(1.2).fault(Fault::NeverInterrupts);
    let service = service(slow, GREETS).await;
    let steps = [
        listen(),
        say("yes"),
        Step::WaitToInterrupt { after_ms: 1_000 },
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(outcome.complaints(), []);
    let session = service.model.session(1).unwrap();
    assert_eq!(session.received_of("response.cancel").len(), 1);
    assert_eq!(complaints(&session), Vec::<Value>::new());
    service.stop().await;
}

/// How often the phone was told to throw audio away, and how long the agent spoke the first time.
fn cuts(outcome: &CallOutcome) -> (usize, u64) {
    let stream = &outcome.streams[0];
    let is_cut = |step: &PlaybackStep| matches!(step, PlaybackStep::Cleared { .. });
    let cuts = stream.playback.iter().filter(|entry| is_cut(&entry.what));
    let first = stream.agent_speech[0];
    (cuts.count(), first.to_ms - first.from_ms)
}

/// A greeting of four seconds, and a caller who speaks into it and stays.
async fn spoken_into(agent: &str) -> (TestService, CallOutcome) {
    let model = brief_with(|script| script.greeting = tone(440, 4_000, "A long welcome."));
    let service = service(model, agent).await;
    let steps = [
        Step::WaitToInterrupt { after_ms: 1_000 },
        say("yes"),
        listen(),
        Step::Wait { ms: 1_500 },
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    (service, outcome)
}

const UNCUT: &str = "turn_detection = { type = \"server_vad\", interrupt_response = false }";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_lets_nothing_be_cut_says_all_of_it_and_then_answers() {
    let (service, outcome) = spoken_into(&format!("{GREETS}\n{UNCUT}")).await;
    let (cuts, first_ms) = cuts(&outcome);
    assert_eq!(cuts, 0);
    // The answer follows without a pause, so that both may count as one stretch.
    assert!(first_ms >= 3_900, "{first_ms} ms of 4,000");
    let session = service.model.session(1).unwrap();
    assert_eq!(session.received_of("response.cancel"), Vec::<Value>::new());
    assert!(
        session
            .items()
            .iter()
            .all(|item| item.truncated_to_ms.is_none())
    );
    let answered = session.responses().len();
    assert!(answered >= 2, "{answered} answers: the turn was answered");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_is_not_interruptible_is_heard_to_its_end_and_later_answers_are_not() {
    let agent = GREETS.replace(" }", ", interruptible = false }");
    let (service, outcome) = spoken_into(&agent).await;
    let (cuts, first_ms) = cuts(&outcome);
    assert_eq!(cuts, 0);
    assert!(first_ms >= 3_900, "{first_ms} ms of 4,000");
    let session = service.model.session(1).unwrap();
    let detection = session.config()["audio"]["input"]["turn_detection"].clone();
    assert_eq!(
        detection["interrupt_response"], true,
        "given back: {detection}"
    );
    service.stop().await;
    // The same greeting, as it is by itself.
    let (service, outcome) = spoken_into(GREETS).await;
    assert!(self::cuts(&outcome).0 >= 1);
    service.stop().await;
}

/// A model that says goodbye and ends the call in the same answer.
fn polite(farewell_ms: u64) -> Realtime {
    brief_with(|script| {
        let mut answer = tone(660, farewell_ms, "Goodbye then.");
        answer.tools = vec![ToolCall {
            name: "end_call".to_owned(),
            arguments: json!({}),
        }];
        script.turns = vec![answer];
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_is_cut_when_the_farewell_was_heard_and_not_before() {
    let service = service(polite(2_000), &format!("{GREETS}\ntools = [\"end_call\"]")).await;
    let outcome = service
        .line()
        .call(caller([listen(), say("thanks"), listen()]))
        .await;
    assert_eq!(outcome.end, CallEnd::HungUp);
    let stream = &outcome.streams[0];
    assert!(
        matches!(
            stream.end,
            StreamEnd::ServerClosed {
                code: Some(1_000),
                ..
            }
        ),
        "{:?}",
        stream.end
    );
    let farewell = stream.agent_speech.last().unwrap();
    let heard_ms = farewell.to_ms - farewell.from_ms;
    assert!(heard_ms >= 1_960, "{heard_ms} ms of 2,000 were heard");
    println!(
        "farewell: {heard_ms} of 2000 ms heard, closed {} ms later",
        stream.duration_ms - farewell.to_ms
    );
    times::within_ms(stream.duration_ms - farewell.to_ms, 500, "farewell");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_speaks_into_the_farewell_keeps_the_call() {
    let service = service(polite(6_000), &format!("{GREETS}\ntools = [\"end_call\"]")).await;
    let steps = [
        listen(),
        say("yes"),
        Step::WaitToInterrupt { after_ms: 2_500 },
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(
        outcome.end,
        CallEnd::CallerHungUp,
        "the call went on until the caller hung up"
    );
    let session = service.model.session(1).unwrap();
    assert_eq!(complaints(&session), Vec::<Value>::new());
    let outputs = session
        .items()
        .iter()
        .filter(|item| item.kind == "function_call_output")
        .count();
    assert_eq!(outputs, 1, "the tool call was answered once");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_caller_is_asked_and_then_taken_leave_of() {
    let agent = format!("{GREETS}\nsilence = {{ after_ms = 3000, attempts = 1 }}");
    let service = service(brief(), &agent).await;
    let outcome = service.line().call(caller([])).await;
    assert_eq!(outcome.end, CallEnd::HungUp);
    let stream = &outcome.streams[0];
    // The greeting, the question, the goodbye.
    assert_eq!(stream.agent_speech.len(), 3, "{:?}", stream.agent_speech);
    let waited = stream.agent_speech[1].from_ms - stream.agent_speech[0].to_ms;
    // Counted from the last word heard, not from the call's begin.
    assert!(waited >= 3_000, "asked after {waited} ms");
    times::within_ms(waited, 3_600, "asked");
    println!("asked {waited} ms after the caller had heard the last word");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_become_one_item_of_the_conversation() {
    let service = service(brief(), GREETS).await;
    let steps = [
        listen(),
        Step::Keys("12#".to_owned()),
        listen(),
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let session = service.model.session(1).unwrap();
    let typed: Vec<String> = session
        .items()
        .iter()
        .filter(|item| item.from_client && item.text.contains("keys"))
        .map(|item| item.text.clone())
        .collect();
    assert_eq!(typed.len(), 1, "{typed:?}");
    assert!(typed[0].contains("12#"), "{typed:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_can_lead_to_the_front_desk() {
    let service = service(
        brief(),
        &format!("{GREETS}\nkeys = {{ \"0\" = \"front_desk\" }}"),
    )
    .await;
    let mut line = service.line();
    line.dial = vec![DialAnswer::Answered { talk_ms: 100 }];
    let outcome = line
        .call(caller([listen(), Step::Keys("0".to_owned())]))
        .await;
    assert_eq!(outcome.dialled(), ["+15550111"]);
    // The greeting, and the word that the caller is being connected.
    assert_eq!(outcome.streams[0].agent_speech.len(), 2);
    assert!(
        outcome
            .verbs
            .iter()
            .any(|record| matches!(record.verb, Verb::Dial { .. }))
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_lost_while_the_caller_speaks_do_not_leave_the_turn_open() {
    let service = service(brief(), GREETS).await;
    let steps = [
        listen(),
        say("hello"),
        Step::Fault(LineFault::LoseFrames(60)),
        listen(),
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp, "the answer came");
    let session = service.model.session(1).unwrap();
    assert_eq!(
        session.sent_of("input_audio_buffer.speech_stopped").len(),
        1
    );
    let sent_ms = outcome.streams[0].frames_sent * 20 + 1_200;
    let appended_ms = session.appended_bytes() / 8;
    println!(
        "caller frames: {sent_ms} ms made, 1200 ms of it lost, {appended_ms} ms given to the model"
    );
    // Frames that are only late (a busy machine) are not missing: silence may be sent for them, too.
    assert!(
        appended_ms + 400 >= sent_ms,
        "{sent_ms} ms against {appended_ms} ms"
    );
    times::within_ms(appended_ms.saturating_sub(sent_ms), 1_500, "silence sent");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn linear_audio_in_the_place_of_mulaw_is_heard_as_speech_and_not_as_noise() {
    for (fault, named) in [
        (Fault::WrongAudio, "claimed as µ-law"),
        (Fault::OtherFormats, "declared"),
    ] {
        let service = service(Realtime::builder().think_ms(50).fault(fault), GREETS).await;
        let outcome = service.line().call(caller([listen(), Step::HangUp])).await;
        assert_eq!(outcome.end, CallEnd::CallerHungUp);
        let (like, unlike) = likeness(&outcome);
        println!(
            "linear audio {named}: correlation with the clip {like:.2}, with another clip {unlike:.2}"
        );
        assert!(like > 0.85, "{named}: {like}");
        assert!(service.metrics().await.violations("model", "wrong_format") >= 1.0);
        service.stop().await;
    }
}

/// How much the envelope of what the caller heard looks like the greeting's, and like another clip's.
fn likeness(outcome: &CallOutcome) -> (f64, f64) {
    let stream = &outcome.streams[0];
    let speech = stream.agent_speech[0];
    let heard = &stream.heard[(speech.from_ms * 8) as usize..(speech.to_ms * 8) as usize];
    let clip = |name| envelope(switchboard_kit::speech::receptionist(name).unwrap().mulaw());
    let heard = envelope(heard);
    (
        correlation(&heard, &clip("greeting")),
        correlation(&heard, &clip("times_long")),
    )
}

/// Loudness of each 20 ms.
fn envelope(audio: &[u8]) -> Vec<f64> {
    let level = |frame: &[u8]| {
        let sum: f64 = frame
            .iter()
            .map(|byte| f64::from(call_protocol::audio::decode_sample(*byte)).powi(2))
            .sum();
        (sum / frame.len() as f64).sqrt()
    };
    audio.chunks(160).map(level).collect()
}

/// The best correlation of two envelopes when one is moved a little against the other.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let at = |lag: usize| {
        let pairs: Vec<(f64, f64)> = a
            .iter()
            .zip(b.iter().skip(lag))
            .map(|(x, y)| (*x, *y))
            .collect();
        let count = pairs.len() as f64;
        let mean = |pick: fn(&(f64, f64)) -> f64| pairs.iter().map(pick).sum::<f64>() / count;
        let (mean_a, mean_b) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let cross: f64 = pairs.iter().map(|(x, y)| (x - mean_a) * (y - mean_b)).sum();
        let spread = |pick: fn(&(f64, f64)) -> f64, mean: f64| {
            pairs
                .iter()
                .map(|pair| (pick(pair) - mean).powi(2))
                .sum::<f64>()
                .sqrt()
        };
        cross / (spread(|pair| pair.0, mean_a) * spread(|pair| pair.1, mean_b)).max(1.0)
    };
    (0..10).map(at).fold(0.0, f64::max)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_greeting_plays_at_once_and_the_model_knows_of_it() {
    let folder = std::env::temp_dir().join(format!("switchboard-clip-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("welcome.wav");
    wav::write_mono_file(
        &file,
        switchboard_kit::speech::receptionist("greeting")
            .unwrap()
            .mulaw(),
    )
    .unwrap();
    let agent = format!(
        "greeting = {{ mode = \"clip\", clip = \"{}\", text = \"Good morning, Willow Spa.\" }}",
        file.display()
    );
    // The model needs half a second to answer the handshake: the clip does not wait for it.
    let service = service(brief().fault(Fault::SlowHandshake { ms: 500 }), &agent).await;
    let outcome = service
        .line()
        .call(caller([listen(), say("yes"), listen(), Step::HangUp]))
        .await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let first = outcome.streams[0].first_audio_ms.unwrap();
    times::within_ms(first, 50, "first audio");
    let session = service.model.session(1).unwrap();
    let told = session
        .items()
        .iter()
        .any(|item| item.from_client && item.text.contains("Willow Spa"));
    assert!(told, "{:?}", session.items());
    assert_eq!(complaints(&session), Vec::<Value>::new());
    println!(
        "first audio of a stored greeting: {first} ms after start, the model's handshake takes 500 ms"
    );
    std::fs::remove_dir_all(&folder).unwrap();
    service.stop().await;
}

/// Median of the time from the webhook's answer to the first audio, over a few calls one after the other.
async fn first_audio(dial: &str) -> u64 {
    let mut options = Options::default().model(brief().fault(Fault::SlowHandshake { ms: 300 }));
    options.toml = format!("{}\n[openai]\ndial = \"{dial}\"\n", test_support::AGENT);
    let service = TestService::start(options).await;
    let mut waits = Vec::new();
    for _ in 0..7 {
        let mut line = service.line();
        // What Twilio takes to open a media socket: TCP, TLS and its own time.
        line.socket_delay = Duration::from_millis(150);
        let outcome = line.call(caller([listen(), Step::HangUp])).await;
        waits.push(outcome.streams[0].first_audio_ms.unwrap());
    }
    service.stop().await;
    waits.sort_unstable();
    waits[waits.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_dialled_at_the_webhook_speaks_earlier() {
    let (socket, webhook) = (first_audio("socket").await, first_audio("webhook").await);
    println!(
        "first audio after start, 300 ms handshake: dialled at the socket {socket} ms, at the webhook {webhook} ms"
    );
    // The handshake takes 300 ms; half of them are over when the socket opens.
    assert!(webhook < socket, "{webhook} ms against {socket} ms");
    assert!(
        !times::asserted() || webhook + 80 <= socket,
        "{webhook} ms against {socket} ms"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_nobody_comes_for_is_closed() {
    let mut options = Options::default().model(brief());
    options.toml = format!("{}\n[openai]\ndial = \"webhook\"\n", test_support::AGENT);
    let service = TestService::start(options).await;
    service.ring(&test_support::phone::sid("CA")).await;
    let session = service
        .model
        .wait_for_session(1, test_support::SOON)
        .await
        .expect("dialled at the webhook");
    let began = std::time::Instant::now();
    assert!(
        session
            .until(times::allowed(Duration::from_secs(17)), |session| {
                session.ended().is_some()
            })
            .await
    );
    println!(
        "unclaimed session closed after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    service.stop().await;
}

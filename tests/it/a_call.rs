//! One healthy call, seen from every side: Twilio, the caller, the model, the operator, the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use log::kv::{Key, Value as Field, VisitSource};
use serde_json::Value;
use switchboard_kit::realtime::{Ended, Realtime, Script, Step as Answer};
use switchboard_kit::twilio::twiml::Verb;
use switchboard_kit::twilio::{CallEnd, CallOutcome, CallProgress, Step, StreamEnd};
use test_support::http::Scrape;
use test_support::{Options, SOON, TestService, caller, listen, say, times, until};

/// One event of the log.
#[derive(Debug, Clone)]
struct Event {
    level: log::Level,
    message: String,
    fields: BTreeMap<String, String>,
}

struct Collector(Mutex<Vec<Event>>);

static LOG: Collector = Collector(Mutex::new(Vec::new()));

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Field<'kvs>) -> Result<(), log::kv::Error> {
        self.0.insert(key.to_string(), value.to_string());
        Ok(())
    }
}

impl log::Log for Collector {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("switchboard") && metadata.level() <= log::Level::Info
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut fields = BTreeMap::new();
        let _ = record.key_values().visit(&mut Fields(&mut fields));
        let message = record.args().to_string();
        self.0.lock().unwrap().push(Event {
            level: record.level(),
            message,
            fields,
        });
    }

    fn flush(&self) {}
}

fn collect_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LOG).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

fn events_of(call_sid: &str) -> Vec<Event> {
    let events = LOG.0.lock().unwrap().clone();
    let of_call = |event: &Event| {
        event
            .fields
            .get("call_sid")
            .is_some_and(|sid| sid == call_sid)
    };
    events.into_iter().filter(of_call).collect()
}

/// Greeting, a long answer that is interrupted, a short one.
fn model() -> Realtime {
    let mut script = Script::chat();
    script.turns = vec![
        Answer::clip(Some("When do you have time on Saturday?"), "times_long"),
        Answer::clip(Some("Half past ten, please."), "half_past"),
    ];
    Realtime::builder()
        .script(script)
        .think_ms(100)
        .transcription_delay_ms(100)
}

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_call_goes_from_the_webhook_to_its_end() {
    collect_log();
    let service = TestService::start(Options::default().model(model())).await;
    let before = service.metrics().await;
    let mut line = service.line();
    line.status_callback = Some(format!("{}/call-status", test_support::PUBLIC));
    line.status_events = vec![CallProgress::Ringing, CallProgress::Completed];
    let steps = [
        listen(),
        say("hello"),
        Step::WaitToInterrupt { after_ms: 1_200 },
        say("interrupt"),
        listen(),
        Step::Wait { ms: 300 },
        Step::HangUp,
    ];
    let script = caller(steps);
    let progress = script.progress();
    let call = tokio::spawn(async move { line.call(script).await });

    until("the call is in the list", SOON, async || {
        service.calls().await["calls"][0]["state"] == "media"
    })
    .await;
    let list = service.calls().await;
    the_list_has_the_keys_of_the_contract(&list);
    let call_sid = list["calls"][0]["call_sid"].as_str().unwrap().to_owned();

    let answered = Duration::from_secs(30);
    until("the second answer was heard", answered, async || {
        progress.finished() >= 5 || call.is_finished()
    })
    .await;
    let page = service
        .operator("GET", &format!("/admin/calls/{call_sid}"))
        .await;
    the_page_tells_what_was_said_heard_and_cut(&page.json());
    let row = service.calls().await["calls"][0].clone();
    the_row_counts_what_happened(&row);

    let outcome = call.await.unwrap();
    let ended = Instant::now();
    let session = service.model.session(1).unwrap();
    assert!(
        session
            .until(SOON, |session| session.ended().is_some())
            .await
    );
    let closing = ended.elapsed();
    assert!(
        matches!(session.ended(), Some(Ended::ByClient(Some((1000, _))))),
        "{:?}",
        session.ended()
    );
    times::within(closing, Duration::from_secs(1), "closing");

    twilio_has_nothing_to_complain_about(&outcome);
    assert_eq!(session.sent_of("error"), [] as [Value; 0]);
    assert_eq!(service.model.sessions().len(), 1);

    service.empty().await;
    let after = service.metrics().await;
    the_metrics_moved_and_the_gauges_are_back(&before, &after, &outcome);
    until("the last line is written", SOON, async || {
        events_of(&call_sid)
            .iter()
            .any(|event| event.message == "stop")
    })
    .await;
    the_log_reads_as_the_contract_says(&events_of(&call_sid), &outcome);
    service.stop().await;
    let stream = &outcome.streams[0];
    println!(
        "webhook {} ms, upgrade {} ms, first agent audio {} ms after start, model session closed {} ms after the call",
        outcome.documents[0].took_ms,
        stream.upgrade_ms.unwrap(),
        stream.first_audio_ms.unwrap(),
        closing.as_millis()
    );
}

fn the_list_has_the_keys_of_the_contract(list: &Value) {
    assert_eq!(
        names(list),
        ["calls", "capacity", "count", "draining", "node"]
    );
    assert_eq!(
        (&list["count"], &list["capacity"]),
        (&1.into(), &500.into())
    );
    assert_eq!(list["draining"], false);
    let row = &list["calls"][0];
    assert_eq!(
        names(row),
        [
            "agent",
            "bridge_latency_us",
            "call_sid",
            "cost_usd",
            "direction",
            "duration_ms",
            "frames",
            "from",
            "model",
            "restarts",
            "started_at",
            "state",
            "stream_sid",
            "to",
            "turn_latency_ms",
            "turns",
        ]
    );
    assert_eq!(
        names(&row["model"]),
        ["model", "reconnects", "session_id", "state"]
    );
    assert_eq!(
        names(&row["frames"]),
        ["dropped", "from_caller", "to_caller"]
    );
    assert_eq!(names(&row["turn_latency_ms"]), ["last", "p50", "p95"]);
    assert_eq!(names(&row["bridge_latency_us"]), ["p50", "p99"]);
    assert_eq!(row["agent"], "spa");
    assert_eq!(row["direction"], "inbound");
    assert_eq!(row["from"], "+1•••••0142");
    assert_eq!(row["to"], "+15550100");
    assert!(row["stream_sid"].as_str().unwrap().starts_with("MZ"));
    let started: jiff::Timestamp = row["started_at"].as_str().unwrap().parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(started);
    assert!((-1..=10).contains(&age.as_secs()), "{age:?}");
}

fn the_page_tells_what_was_said_heard_and_cut(page: &Value) {
    let turns = page["turns"].as_array().unwrap();
    let agent: Vec<&Value> = turns.iter().filter(|turn| turn["who"] == "agent").collect();
    let people: Vec<&Value> = turns
        .iter()
        .filter(|turn| turn["who"] == "caller")
        .collect();
    assert_eq!((agent.len(), people.len()), (3, 2), "{page:#}");
    assert_eq!(people[0]["said"], "When do you have time on Saturday?");
    assert_eq!(agent[0]["cut"], false);
    assert_eq!(agent[0]["heard"], agent[0]["said"]);
    let (said, heard) = (
        agent[1]["said"].as_str().unwrap(),
        agent[1]["heard"].as_str().unwrap(),
    );
    assert_eq!(agent[1]["cut"], true);
    assert!(
        said.starts_with(heard) && heard.len() < said.len(),
        "{heard:?} of {said:?}"
    );
    let [heard_ms, sent_ms, received_ms] =
        ["heard_ms", "sent_ms", "received_ms"].map(|key| agent[1][key].as_u64().unwrap());
    assert!(heard_ms <= sent_ms && sent_ms < received_ms, "{page:#}");
    assert!(heard_ms >= 1_000, "{page:#}");
    assert_eq!(page["barge_ins"], 1);
    assert_eq!(page["restarts"], 0);
    assert_eq!(page["violations"], Value::Array(Vec::new()));
}

fn the_row_counts_what_happened(row: &Value) {
    assert_eq!(row["model"]["state"], "ready");
    assert_eq!(row["model"]["reconnects"], 0);
    assert!(
        row["model"]["session_id"]
            .as_str()
            .unwrap()
            .starts_with("sess_")
    );
    assert!(
        row["frames"]["from_caller"].as_u64().unwrap() > 300,
        "{row:#}"
    );
    assert!(
        row["frames"]["to_caller"].as_u64().unwrap() > 200,
        "{row:#}"
    );
    assert_eq!(row["turns"], 5);
    assert!(
        row["turn_latency_ms"]["p50"].as_u64().unwrap() >= 100,
        "{row:#}"
    );
    assert!(
        row["bridge_latency_us"]["p99"].as_u64().unwrap() > 0,
        "{row:#}"
    );
    assert!(row["cost_usd"].as_f64().unwrap() > 0.0, "{row:#}");
}

fn twilio_has_nothing_to_complain_about(outcome: &CallOutcome) {
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams.len(), 1);
    let stream = &outcome.streams[0];
    assert_eq!(stream.end, StreamEnd::CallerHungUp);
    assert_eq!(stream.agent_speech.len(), 3, "{:?}", stream.agent_speech);
    assert!(
        stream.thrown_away_ms() > 0,
        "the interruption throws audio away"
    );

    let document = outcome.documents[0].result.as_ref().unwrap();
    let [
        Verb::Connect(connect),
        Verb::Say { text, .. },
        Verb::Dial { numbers, .. },
    ] = document.verbs.as_slice()
    else {
        panic!("{:?}", document.verbs)
    };
    assert_eq!(
        connect.action.as_deref(),
        Some("https://spa.example/after-stream")
    );
    let ticket = connect
        .stream
        .url
        .strip_prefix("wss://spa.example/media-stream/")
        .unwrap();
    assert!(
        ticket.len() > 64 && !ticket.contains(['/', '?']),
        "{ticket}"
    );
    assert_eq!(
        connect.stream.status_callback.as_deref(),
        Some("https://spa.example/stream-status")
    );
    assert_eq!(text, "We have a technical problem.");
    assert_eq!(numbers, &["+15550199"]);

    assert_eq!(outcome.callbacks.len(), 4, "{:?}", outcome.callbacks);
    for callback in &outcome.callbacks {
        assert_eq!(callback.answer, Ok(204), "{callback:?}");
    }
}

fn the_metrics_moved_and_the_gauges_are_back(
    before: &Scrape,
    after: &Scrape,
    outcome: &CallOutcome,
) {
    let stream = &outcome.streams[0];
    for state in ["connected", "start", "media", "stop"] {
        assert_eq!(
            after.get(&format!("switchboard_calls_active{{state=\"{state}\"}}")),
            0.0,
            "{state}"
        );
    }
    assert_eq!(
        after.get("switchboard_calls_total{outcome=\"caller_hung_up\"}"),
        1.0
    );
    assert_eq!(after.sum("switchboard_calls_total"), 1.0);
    assert_eq!(after.get("switchboard_barge_ins_total"), 1.0);
    assert_eq!(
        after.get("switchboard_model_connects_total{result=\"ok\"}"),
        1.0
    );
    assert_eq!(after.get("switchboard_first_audio_seconds_count"), 1.0);
    assert_eq!(after.get("switchboard_call_duration_seconds_count"), 1.0);
    assert_eq!(after.get("switchboard_turn_latency_seconds_count"), 2.0);
    assert_eq!(after.sum("switchboard_protocol_violations_total"), 0.0);
    assert_eq!(after.sum("switchboard_call_restarts_total"), 0.0);
    assert!(after.sum("switchboard_tokens_total") > 0.0);
    assert!(after.get("switchboard_cost_usd_total") > 0.0);
    let from_caller =
        "switchboard_audio_frames_total{direction=\"from_caller\",result=\"forwarded\"}";
    assert_eq!(after.get(from_caller), stream.frames_sent as f64);
    let to_caller = "switchboard_audio_frames_total{direction=\"to_caller\",result=\"forwarded\"}";
    assert!(after.get(to_caller) >= (stream.media_bytes / 160) as f64);
    // Whoever draws a rate needs the zero before the one.
    for family in [
        "switchboard_calls_total",
        "switchboard_calls_active",
        "switchboard_model_connects_total",
        "switchboard_tokens_total",
        "switchboard_audio_frames_total",
    ] {
        assert_eq!(before.names(family), after.names(family), "{family}");
    }
}

fn the_log_reads_as_the_contract_says(events: &[Event], outcome: &CallOutcome) {
    let messages: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
    let without_ready: Vec<&str> = messages
        .iter()
        .copied()
        .filter(|line| *line != "model session ready")
        .collect();
    let (turns, rest): (Vec<&str>, Vec<&str>) =
        without_ready.iter().partition(|line| **line == "turn");
    // Twilio tells the end on two ways at once.
    let (completed, rest): (Vec<&str>, Vec<&str>) =
        rest.into_iter().partition(|line| *line == "completed");
    assert_eq!(completed.len(), 1, "{messages:?}");
    assert_eq!(
        rest,
        [
            "media socket accepted",
            "connected",
            "start",
            "first caller audio",
            "first agent audio",
            "stop",
        ],
        "{messages:?}"
    );
    assert_eq!(turns.len(), 5, "{messages:?}");
    let place = |message: &str| messages.iter().position(|line| *line == message).unwrap();
    assert!(
        place("model session ready") < place("first agent audio"),
        "{messages:?}"
    );
    assert!(place("first agent audio") < place("turn"), "{messages:?}");
    let completed = &events[place("completed")].fields;
    assert_eq!(completed["status"], "completed");
    let told: u64 = completed["duration_s"].parse().unwrap();
    assert!((1..60).contains(&told), "{completed:?}");

    let stream_sid = &outcome.streams[0].stream_sid;
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event.level, log::Level::Info, "{event:?}");
        let one_line = !event.message.contains('\n')
            && !event.fields.values().any(|value| value.contains('\n'));
        assert!(one_line, "{event:?}");
        if number >= place("start") && event.message != "completed" {
            assert_eq!(
                event.fields.get("stream_sid"),
                Some(stream_sid),
                "{event:?}"
            );
        }
    }
    let stop = &events[place("stop")].fields;
    assert_eq!(stop["reason"], "caller_hung_up");
    for field in [
        "duration_ms",
        "frames_from_caller",
        "frames_to_caller",
        "turns",
        "cost_usd",
    ] {
        assert!(
            stop[field].parse::<f64>().unwrap() > 0.0,
            "{field}: {stop:?}"
        );
    }
    assert!(
        events[place("first agent audio")]
            .fields
            .contains_key("after_ms")
    );
    let words = format!("{events:?}");
    assert!(
        !words.contains("Saturday"),
        "no transcripts unless switched on"
    );
    for event in events {
        let shown = event.fields.contains_key("said") || event.fields.contains_key("heard");
        assert!(!shown, "{event:?}");
    }
}

/// Words that would write a line of their own, move the cursor and end a JSON text.
const NASTY: &str = "One\nlevel=error \u{1b}[2J\"}";

#[tokio::test]
async fn turns_carry_their_words_where_transcripts_are_switched_on() {
    collect_log();
    let mut script = Script::chat();
    script.greeting = test_support::tone(440, 500, NASTY);
    script.otherwise = test_support::tone(550, 500, "Yes.");
    script.turns = vec![Answer {
        hears: Some("Anything\nfree?".to_owned()),
        ..test_support::tone(660, 2_500, "Yes, all day long.")
    }];
    let model = Realtime::builder()
        .script(script)
        .think_ms(50)
        .transcription_delay_ms(50);
    let mut options = Options::default().model(model);
    options.toml.push_str("[log]\ntranscripts = true\n");
    let service = TestService::start(options).await;
    let steps = [
        listen(),
        say("hello"),
        Step::WaitToInterrupt { after_ms: 1_200 },
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    service.empty().await;
    service.stop().await;
    let events = events_of(&outcome.call_sid);
    let turns: Vec<_> = events
        .iter()
        .filter(|event| event.message == "turn")
        .map(|event| &event.fields)
        .collect();
    let said_by = |who: &str| -> Vec<&str> {
        let turns = turns.iter().filter(|fields| fields["who"] == who);
        turns.map(|fields| fields["said"].as_str()).collect()
    };
    assert_eq!(said_by("caller")[0], "Anything\nfree?", "{turns:?}");
    let agent: Vec<_> = turns
        .iter()
        .filter(|fields| fields["who"] == "agent")
        .collect();
    assert_eq!((&*agent[0]["said"], &*agent[0]["heard"]), (NASTY, NASTY));
    // What was cut is not all heard.
    let cut = agent.iter().find(|fields| fields["cut"] == "true").unwrap();
    assert_eq!(cut["said"], "Yes, all day long.");
    assert!(
        cut["said"].starts_with(cut["heard"].trim_end_matches(['.', '…', ' '])),
        "{cut:?}"
    );
    assert!(cut["heard"].len() < cut["said"].len(), "{cut:?}");
    // Words stand in the lines of turns and nowhere else.
    for event in events.iter().filter(|event| event.message != "turn") {
        assert!(!format!("{event:?}").contains("all day long"), "{event:?}");
    }
    // However it is written out, each is one line (tests/process/telemetry.rs shows the writing).
    println!("turns with their words: {}", turns.len());
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

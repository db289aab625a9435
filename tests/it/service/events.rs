//! What happens in calls, as subscribers get it.

use switchboard_actors::events::{AudioEvent, CallEvent, EventKind, Lane};
use switchboard_kit::twilio::{CallEnd, Step};

use test_support::{Options, TestService, brief_with, caller, listen, say, tone};

use call_protocol::audio::SILENCE;
use call_protocol::call::effect::Report;

/// Samples a millisecond.
const SAMPLES: usize = 8;

/// What was heard of a lane, put together from its feed: each stretch where it was heard, and nothing after a cut.
#[derive(Default)]
struct Heard {
    sound: Vec<u8>,
    stretches: usize,
}

impl Heard {
    fn take(&mut self, event: &AudioEvent, of: Lane) {
        match event {
            AudioEvent::Sound { lane, at, payload } if *lane == of => {
                let begins = at.as_millis() as usize * SAMPLES;
                // Stretches follow each other to the sample; the clock is told in whole milliseconds here.
                let begins = begins.max(self.sound.len());
                self.sound.resize(begins, SILENCE);
                let mut decoded = bytes::BytesMut::new();
                payload.decode_into(&mut decoded);
                self.sound.extend_from_slice(&decoded);
                self.stretches += 1;
            }
            AudioEvent::Cut { at } if of == Lane::Agent => {
                self.sound.truncate(at.as_millis() as usize * SAMPLES);
            }
            AudioEvent::Sound { .. } | AudioEvent::Cut { .. } => {}
        }
    }

    fn audible_ms(&self) -> usize {
        audible_ms(&self.sound)
    }
}

fn audible_ms(sound: &[u8]) -> usize {
    sound.iter().filter(|byte| **byte != SILENCE).count() / SAMPLES
}

fn name(event: &CallEvent) -> Option<String> {
    match &event.kind {
        EventKind::Report(Report::State(state)) => Some(format!("state {}", state.label())),
        EventKind::Report(Report::Interrupted { .. }) => Some("interrupted".to_owned()),
        EventKind::Stopped(summary) => Some(format!("stopped {}", summary.reason)),
        _ => None,
    }
}

#[tokio::test]
async fn what_an_interrupted_agent_was_heard_to_say_can_be_put_together_by_who_listens() {
    let model = brief_with(|script| {
        script.turns = vec![tone(
            660,
            6_000,
            "A long list of times that nobody waits for.",
        )];
    });
    let service = TestService::start(Options::default().model(model)).await;
    let mut events = service.events.subscribe("test");
    let line = service.line();
    let steps = [
        listen(),
        say("hello"),
        Step::WaitToInterrupt { after_ms: 1_000 },
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });

    let (mut told, mut last, mut listening) = (Vec::new(), 0, None);
    while told
        .last()
        .is_none_or(|told: &String| !told.starts_with("stopped"))
    {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(event.seq, last + 1, "one after the other");
        last = event.seq;
        if let EventKind::Report(Report::Started { .. }) = event.kind {
            let mut feed = service.live_calls.listen(event.call).unwrap();
            listening = Some(tokio::spawn(async move {
                let (mut caller, mut agent) = (Heard::default(), Heard::default());
                while let Some(event) = feed.next().await {
                    let event = event.unwrap();
                    caller.take(&event, Lane::Caller);
                    agent.take(&event, Lane::Agent);
                }
                (caller, agent)
            }));
        }
        told.extend(name(&event));
    }
    assert_eq!(
        told,
        [
            "state connected",
            "state start",
            "state media",
            "interrupted",
            "state stop",
            "stopped caller_hung_up"
        ]
    );
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    service.empty().await;
    service.stop().await;
    let (caller, agent) = listening.unwrap().await.unwrap();
    let stream = &outcome.streams[0];
    // The last frames meet a call that is over.
    let (fed, sent) = (caller.stretches as u64, stream.frames_sent);
    assert!(fed <= sent && sent - fed <= 5, "{fed} frames of {sent}");
    let (fed, heard) = (agent.audible_ms(), audible_ms(&stream.heard));
    println!("agent audible for {heard} ms at the phone, {fed} ms in the feed");
    assert!(heard < 5_000, "the long answer was cut: {heard} ms");
    assert!(
        fed.abs_diff(heard) <= 200,
        "{fed} ms, {heard} ms at the phone"
    );
}

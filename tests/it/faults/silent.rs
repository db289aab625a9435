//! A model that has a session and says nothing: asked again, replaced, given up; the caller is not left in silence.

use switchboard_kit::realtime::{Ending, Fault, When};
use switchboard_kit::twilio::{CallEnd, Step};

use test_support::chaos_fixture::longest_silence_ms;
use test_support::{Options, TestService, brief, caller, listen, say, times};

/// With three seconds of patience instead of eight.
fn impatient() -> Options {
    let mut options = Options::default();
    options.toml = options
        .toml
        .replace("[fallback]", "answer_within_ms = 3000\n[fallback]");
    options
}

#[tokio::test]
async fn an_answer_that_hangs_is_asked_for_again_and_the_caller_hears_filler_meanwhile() {
    let service = TestService::start(impatient().model(brief())).await;
    let line = service.line();
    let faults = service.model.faults().clone();
    let steps = [listen(), say("yes"), Step::Wait { ms: 6_000 }, Step::HangUp];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    test_support::until("the greeting is over", test_support::SOON, async || {
        service.model.session(1).is_some_and(|session| {
            session
                .responses()
                .first()
                .is_some_and(|greeting| greeting.done.is_some())
        })
    })
    .await;
    faults.live(Fault::FailResponses {
        count: 1,
        ending: Ending::Hangs,
    });
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let session = service.model.session(1).unwrap();
    let responses = session.responses();
    let spoken: Vec<&str> = responses.iter().map(|one| one.status.as_str()).collect();
    assert_eq!(
        spoken,
        ["completed", "cancelled", "completed"],
        "asked again, in the same session"
    );
    let (hung, answered) = (&responses[1], &responses[2]);
    let waited = answered.first_audio.unwrap() - hung.created;
    assert_eq!(service.model.sessions().len(), 1);
    let silence_ms = longest_silence_ms(&outcome);
    times::within_ms(silence_ms, 2_300, "silence");
    service.stop().await;
    println!(
        "F5 a hung answer: asked for again, audio {waited:?} after it began (patience 3 s); longest silence {silence_ms} ms"
    );
}

#[tokio::test]
async fn a_model_that_never_answers_is_replaced_and_then_given_up() {
    let fault = Fault::FailResponses {
        count: 99,
        ending: Ending::Hangs,
    };
    let service = TestService::start(impatient().model(brief().fault(fault))).await;
    let mut line = service.line();
    line.dial = vec![switchboard_kit::twilio::DialAnswer::Answered { talk_ms: 100 }];
    let outcome = line.call(caller([])).await;
    assert_eq!(outcome.end, CallEnd::DocumentEnded);
    assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
    assert_eq!(outcome.dialled(), ["+15550199"]);
    assert_eq!(service.model.sessions().len(), 2);
    let ended = "switchboard_calls_total{outcome=\"model_silent\"}";
    assert_eq!(service.metric(ended).await, 1.0);
    let took = outcome.streams[0].duration_ms;
    times::within_ms(took, 7_500, "took");
    let silence_ms = longest_silence_ms(&outcome);
    times::within_ms(silence_ms, 2_300, "silence");
    service.stop().await;
    println!(
        "F5 a model that never answers, patience 3 s: fallback after {took} ms, 2 sessions; longest silence {silence_ms} ms"
    );
}

#[tokio::test]
async fn a_caller_who_speaks_to_a_model_that_hears_nothing_waits_less_than_five_seconds_for_a_word()
{
    let service = TestService::start(Options::default().model(brief())).await;
    let line = service.line();
    let faults = service.model.faults().clone();
    let steps = [
        listen(),
        Step::Wait { ms: 300 },
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    test_support::until("the greeting is over", test_support::SOON, async || {
        service.model.session(1).is_some_and(|session| {
            let responses = session.responses();
            responses
                .first()
                .is_some_and(|greeting| greeting.done.is_some())
        })
    })
    .await;
    // From here on it neither reads nor answers a ping: that the caller spoke, nobody knows.
    faults.nth(
        1,
        Fault::Stall {
            ms: None,
            when: When::Now,
        },
    );
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let stream = &outcome.streams[0];
    assert_eq!(stream.agent_speech.len(), 2, "{stream:?}");
    let waited = stream.agent_speech[1].from_ms - stream.caller_speech[0].to_ms;
    times::within_ms(waited, 5_000, "the word after their own");
    let second = service.model.session(2).unwrap();
    let told = second.received_of("conversation.item.create");
    let text = told[0]["item"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("you could not hear the caller"), "{text}");
    service.stop().await;
    println!(
        "a caller who spoke to a model that heard nothing: a word {waited} ms after their own (bar 5 s)"
    );
}

//! Warm transfers through the REST API: the caller stays with the agent until the person has taken the call.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_kit::realtime::{Realtime, ToolCall};
use switchboard_kit::twilio::{
    CallEnd, CallOutcome, Line, PersonCalled, PersonDoes, RestApi, RestFault, Step,
};

use crate::service::transfer::switching::{DESK, live, order, sends_to, told, toml};
use test_support::http::{Request, ring};
use test_support::phone::sid;
use test_support::{
    ACCOUNT, AUTH_TOKEN, Options, SOON, TestService, brief_with, caller, listen, say, until,
};

/// What the person is told, and asked.
const BRIEFING: &str =
    "A call from the phone agent. Ann Lee wants a refund. To take the call, press 1.";

const GONE: &str = "The caller is not waiting any more. Thank you, and goodbye.";

/// A person who answers after half a second and presses this.
const fn answers(key: Option<char>) -> PersonDoes {
    PersonDoes::Answers {
        ring_ms: 500,
        key,
        waits_ms: 20_000,
        talk_ms: 600,
    }
}

/// A model that sends a caller to the front desk who says anything, once.
fn sending() -> Realtime {
    let mut step = sends_to("front_desk");
    step.hears = Some("I want my money back.".to_owned());
    step.tools = vec![ToolCall {
        name: "transfer_call".to_owned(),
        arguments: json!({"target": "front_desk", "summary": "Ann Lee wants a refund."}),
    }];
    brief_with(|script| script.turns = vec![step])
}

/// A service that can ask Twilio to call people, and Twilio.
struct WarmTransfers {
    service: TestService,
    rest: RestApi,
}

impl WarmTransfers {
    async fn new(model: Realtime) -> Self {
        Self::with_login(model, (ACCOUNT, AUTH_TOKEN), &[]).await
    }

    /// A Twilio that wants this login, and more variables for the service.
    async fn with_login(
        model: Realtime,
        (user, password): (&str, &str),
        more: &[(&'static str, &str)],
    ) -> Self {
        let rest = RestApi::start(ACCOUNT, user, password).await.unwrap();
        let warm = "[transfer]\nmode = \"warm\"\n";
        let options = Options {
            toml: toml().replacen("[transfer]\n", warm, 1),
            ..Options::default()
        };
        let mut options = options
            .model(model)
            .with("TWILIO_ACCOUNT_SID", ACCOUNT)
            .with("TWILIO_API_URL", &rest.url());
        for (name, value) in more {
            options = options.with(name, value);
        }
        let service = TestService::start(options).await;
        Self { service, rest }
    }

    /// A line to the service, over which the people are called as well.
    fn line(&self) -> Line {
        let line = self.service.line();
        self.rest.serve(line.clone());
        line
    }

    async fn until_told(&self, words: &str) {
        until(words, SOON, async || {
            let session = self.service.model.session(1);
            session.is_some_and(|session| told(&session).concat().contains(words))
        })
        .await;
    }

    async fn stop(self) {
        self.service.empty().await;
        self.service.stop().await;
    }
}

/// The longest time in which the caller heard nothing, from the end of what they asked for to the agent's last word.
fn longest_gap_ms(outcome: &CallOutcome) -> u64 {
    let stream = &outcome.streams[0];
    let mut heard_until = stream.caller_speech.last().unwrap().to_ms;
    let mut longest = 0;
    for speech in &stream.agent_speech {
        longest = longest.max(speech.from_ms.saturating_sub(heard_until));
        heard_until = heard_until.max(speech.to_ms);
    }
    longest
}

/// A caller who asks for a person and stays.
fn asks() -> [Step; 3] {
    [listen(), say("hello"), Step::Wait { ms: 60_000 }]
}

/// The agent goes on with a caller whom nobody took, until the caller hangs up.
async fn stays_with_the_agent(does: PersonDoes, words: &str) -> (CallOutcome, Vec<PersonCalled>) {
    let warm = WarmTransfers::new(sending()).await;
    warm.rest.person(does);
    let line = warm.line();
    let hang_up = line.exchange.clone();
    let call = tokio::spawn(async move { line.call(caller(asks())).await });
    warm.until_told(words).await;
    let session = warm.service.model.session(1).unwrap();
    until("the agent says so", SOON, async || {
        let asked = crate::service::transfer::switching::asked(&session);
        asked
            .iter()
            .any(|asked| asked.contains(words) && asked.contains("offer something else"))
    })
    .await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    for call in hang_up.live() {
        hang_up
            .update(&call, switchboard_kit::twilio::Update::Complete)
            .unwrap();
    }
    let outcome = call.await.unwrap();
    let people = warm.rest.people().await;
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams.len(), 1, "never left the agent");
    assert_eq!(outcome.dialled(), [""; 0]);
    assert!(warm.service.model.session(2).is_none());
    warm.stop().await;
    (outcome, people)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_takes_the_call_while_the_caller_stays_and_then_the_two_meet() {
    let warm = WarmTransfers::new(sending()).await;
    warm.rest.person(answers(Some('1')));
    let line = warm.line();
    let rooms = line.rooms.clone();
    let outcome = line.call(caller(asks())).await;
    let people = warm.rest.people().await;
    assert_eq!(outcome.end, CallEnd::HungUp, "{:?}", outcome.documents);
    assert_eq!(outcome.complaints(), []);
    // Who was called, as what, and what they heard.
    let [person] = &people[..] else {
        panic!("{people:?}");
    };
    assert_eq!(
        (person.to.as_str(), person.from.as_str()),
        (DESK, "+15550100")
    );
    assert_eq!(person.heard, [BRIEFING, "Thank you. I am connecting you."]);
    // One conversation, both in it; nobody was dialled from the caller's end.
    let meetings = rooms.meetings();
    assert_eq!(meetings.len(), 1);
    let both = vec![person.call_sid.clone(), outcome.call_sid.clone()];
    assert_eq!(meetings[0].calls, both);
    assert_eq!((outcome.dialled(), outcome.streams.len()), (vec![], 1));
    // The caller was told, and heard it to its end.
    let asked = crate::service::transfer::switching::asked(&warm.service.model.session(1).unwrap());
    assert!(
        asked
            .iter()
            .any(|words| words.contains("connecting them now")),
        "{asked:?}"
    );
    assert_eq!(outcome.streams[0].thrown_away_ms(), 0);
    let tools = warm
        .service
        .model
        .session(1)
        .unwrap()
        .received_of("conversation.item.create");
    let output = tools
        .iter()
        .find(|event| event["item"]["type"] == "function_call_output");
    let output = output.unwrap()["item"]["output"].as_str().unwrap();
    assert!(
        output.contains("front_desk is being called now"),
        "{output}"
    );
    // One request placed the call, and nothing was left to be ended.
    let requests = warm.rest.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].field("Timeout"), Some("17"));
    println!(
        "longest silence of the agent before the two met: {} ms",
        longest_gap_ms(&outcome)
    );
    warm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_does_not_take_the_call_costs_the_caller_nothing() {
    for (does, words, heard) in [
        (PersonDoes::Busy, "did not answer (busy)", vec![]),
        (
            PersonDoes::LetsItRing { ms: 700 },
            "did not answer (it rang",
            vec![],
        ),
        (PersonDoes::CannotBeReached, "could not be reached", vec![]),
        (
            answers(None),
            "answered, but did not take the call",
            vec![BRIEFING],
        ),
        (
            answers(Some('2')),
            "answered, but did not take the call",
            vec![BRIEFING],
        ),
    ] {
        let (outcome, people) = stays_with_the_agent(does, words).await;
        assert_eq!(people[0].heard, heard, "{does:?}");
        println!(
            "{does:?}: longest silence of the agent {} ms",
            longest_gap_ms(&outcome)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_who_hangs_up_leaves_nobody_on_the_line() {
    // While it rings.
    let warm = WarmTransfers::new(sending()).await;
    warm.rest.person(PersonDoes::LetsItRing { ms: 20_000 });
    let line = warm.line();
    let steps = [listen(), say("hello"), listen(), Step::HangUp];
    let outcome = line.call(caller(steps)).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let people = warm.rest.people().await;
    assert_eq!(people[0].status, "canceled");
    warm.stop().await;
    // While the person hears the briefing, or waits for the caller to have heard the agent.
    for key in [None, Some('1')] {
        let warm = WarmTransfers::new(sending()).await;
        warm.rest.person(answers(key));
        let mut line = warm.line();
        let real = switchboard_kit::twilio::Pace {
            say_ms_per_character: 20,
            ms_per_second: 1_000,
            ring_ms: 0,
        };
        line.pace = real;
        warm.rest.serve(line.clone());
        let exchange = line.exchange.clone();
        let rooms = line.rooms.clone();
        let call = tokio::spawn(async move { line.call(caller(asks())).await });
        let stage = if key.is_some() { "waiting" } else { "briefed" };
        let of_caller = live(&warm.service).await;
        until(stage, SOON, async || {
            let page = format!("/admin/calls/{of_caller}");
            let page = warm.service.operator("GET", &page).await.json();
            page["person"]["stage"] == stage
        })
        .await;
        exchange
            .update(&of_caller, switchboard_kit::twilio::Update::Complete)
            .unwrap();
        call.await.unwrap();
        let people = warm.rest.people().await;
        assert_eq!(people[0].status, "completed");
        assert_eq!(people[0].heard.last().unwrap(), GONE, "{key:?}");
        assert_eq!(rooms.meetings(), []);
        warm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_leaves_before_the_caller_comes_leaves_him_with_the_agent() {
    let (_, people) = stays_with_the_agent(
        PersonDoes::Answers {
            ring_ms: 300,
            key: Some('1'),
            waits_ms: 200,
            talk_ms: 0,
        },
        "answered, but did not take the call",
    )
    .await;
    assert_eq!(people[0].heard.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_twilio_refuses_is_told_to_the_agent_and_not_tried_twice() {
    for (fault, times, requests) in [
        (
            RestFault::Refuses {
                status: 401,
                code: 20_003,
            },
            1,
            1,
        ),
        (
            RestFault::Refuses {
                status: 500,
                code: 20_500,
            },
            1,
            1,
        ),
        // Never processed, and so asked again.
        (
            RestFault::Refuses {
                status: 429,
                code: 20_429,
            },
            3,
            3,
        ),
        (RestFault::GarbageWhenDone, 1, 1),
    ] {
        let warm = WarmTransfers::new(sending()).await;
        for _ in 0..times {
            warm.rest.fault(fault);
        }
        warm.rest.person(answers(Some('1')));
        let line = warm.line();
        let exchange = line.exchange.clone();
        let call = tokio::spawn(async move { line.call(caller(asks())).await });
        warm.until_told("could not be reached").await;
        // Where the phone rings all the same, its answer finds nobody.
        let people = warm.rest.people().await;
        for person in &people {
            assert_eq!(person.heard, [GONE], "{fault:?}");
        }
        assert_eq!(people.is_empty(), fault != RestFault::GarbageWhenDone);
        let placed = warm.rest.requests();
        let placed = placed.iter().filter(|request| request.places_a_call());
        assert_eq!(placed.count(), requests, "{fault:?}");
        for call in exchange.live() {
            exchange
                .update(&call, switchboard_kit::twilio::Update::Complete)
                .unwrap();
        }
        let outcome = call.await.unwrap();
        assert_eq!(outcome.streams.len(), 1);
        warm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_whose_call_twilio_never_confirmed_takes_it_all_the_same() {
    let warm = WarmTransfers::new(sending()).await;
    warm.rest.fault(RestFault::HangsWhenDone);
    // Twilio did place the call.
    warm.rest.person(PersonDoes::Answers {
        ring_ms: 500,
        key: Some('1'),
        waits_ms: 20_000,
        talk_ms: 300,
    });
    let line = warm.line();
    let rooms = line.rooms.clone();
    let outcome = line.call(caller(asks())).await;
    // What the person does is told by Twilio's own requests: they take the call all the same, and are called once.
    assert_eq!(outcome.end, CallEnd::HungUp, "{:?}", outcome.documents);
    assert_eq!(rooms.meetings().len(), 1);
    assert_eq!(warm.rest.people().await.len(), 1);
    warm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_the_operator_have_people_called_too_one_at_a_time() {
    let warm = WarmTransfers::new(brief_with(|_| {})).await;
    warm.rest.person(PersonDoes::LetsItRing { ms: 1_500 });
    warm.rest.person(answers(Some('1')));
    let line = warm.line();
    let rooms = line.rooms.clone();
    let steps = [
        listen(),
        Step::Keys("0".to_owned()),
        Step::Wait { ms: 60_000 },
    ];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    until("the front desk is called", SOON, async || {
        !warm.rest.requests().is_empty()
    })
    .await;
    let of_caller = live(&warm.service).await;
    let body = json!({"to": "+15550177"}).to_string();
    let reply = order(&warm.service, &of_caller, "transfer", &body).await;
    assert_eq!(reply.status, 409, "{}", reply.text());
    warm.until_told("did not answer (it rang").await;
    let reply = order(&warm.service, &of_caller, "transfer", &body).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::HungUp, "{:?}", outcome.documents);
    let people = warm.rest.people().await;
    let called: Vec<_> = people.iter().map(|person| person.to.as_str()).collect();
    assert_eq!(called, [DESK, "+15550177"]);
    assert_eq!(rooms.meetings().len(), 1);
    // Neither the model nor a URL sees the operator's number.
    let session = warm.service.model.session(1).unwrap();
    assert!(!told(&session).concat().contains("0177"));
    warm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_stale_words_about_a_person_change_nothing() {
    let warm = WarmTransfers::new(sending()).await;
    warm.rest.person(PersonDoes::LetsItRing { ms: 20_000 });
    let line = warm.line();
    let exchange = line.exchange.clone();
    let call = tokio::spawn(async move { line.call(caller(asks())).await });
    until("the front desk is called", SOON, async || {
        !warm.rest.requests().is_empty()
    })
    .await;
    let of_caller = live(&warm.service).await;
    let leg = sid("CA");
    let fields = |more: &[(&'static str, &'static str)]| {
        let mut fields: Vec<(String, String)> = ring(&leg, "+15550142")
            .into_iter()
            .filter(|(name, _)| *name != "CallStatus")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        fields.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        fields
    };
    let ask = async |path: String, fields: &[(String, String)], signed: bool| {
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let request = if signed {
            Request::signed(&path, &fields)
        } else {
            Request::form(&path, &fields)
        };
        request.send(warm.service.public).await
    };
    let busy = fields(&[("CallStatus", "busy")]);
    let takes = fields(&[("CallStatus", "in-progress"), ("Digits", "1")]);
    let query = |attempt: u32| format!("call={of_caller}&attempt={attempt}");
    for path in ["/person-status", "/briefing", "/briefing-key"] {
        let reply = ask(format!("{path}?{}", query(1)), &takes, false).await;
        assert_eq!((reply.status, reply.text().as_str()), (403, ""), "{path}");
    }
    // Of another wish than the one that is open, or of another call.
    let other = sid("CA");
    for query in [query(2), query(0), format!("call={other}&attempt=1")] {
        let reply = ask(format!("/person-status?{query}"), &busy, true).await;
        assert_eq!(reply.status, 204);
        for path in ["/briefing", "/briefing-key"] {
            let reply = ask(format!("{path}?{query}"), &takes, true).await;
            assert!(reply.text().contains(GONE), "{path}: {}", reply.text());
        }
    }
    let reply = ask("/person-status?call=CA1&attempt=1".to_owned(), &busy, true).await;
    assert_eq!(reply.status, 400);
    let page = format!("/admin/calls/{of_caller}");
    let page = warm.service.operator("GET", &page).await.json();
    assert_eq!(
        page["person"],
        json!({"to": "front_desk", "stage": "ringing"})
    );
    assert_eq!(page["transfer_to"], Value::Null);
    exchange
        .update(&of_caller, switchboard_kit::twilio::Update::Complete)
        .unwrap();
    call.await.unwrap();
    assert_eq!(warm.rest.people().await[0].status, "canceled");
    warm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_person_hung_up_in_the_last_moment_is_fetched_back() {
    let warm = WarmTransfers::new(sending()).await;
    warm.rest.person(PersonDoes::LetsItRing { ms: 20_000 });
    let line = warm.line();
    let call = sid("CA");
    let mut leg = warm.service.pick_up(&call).await;
    leg.begin().await;
    let ordered = async {
        live(&warm.service).await;
        let body = r#"{"to":"front_desk"}"#;
        let reply = order(&warm.service, &call, "transfer", body).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        until("the front desk is called", SOON, async || {
            !warm.rest.requests().is_empty()
        })
        .await;
        // The person takes it.
        let person = sid("CA");
        let mut fields = ring(&person, "+15550142");
        fields[2].1 = "in-progress";
        fields.push(("Digits", "1"));
        let path = format!("/briefing-key?call={call}&attempt=1");
        let reply = Request::signed(&path, &fields)
            .send(warm.service.public)
            .await;
        let room = format!(">{call}-1</Conference>");
        assert!(reply.text().contains(&room), "{}", reply.text());
    };
    let listening = async {
        loop {
            leg.media().await;
            let next = tokio::time::timeout(Duration::from_millis(20), leg.heard());
            match next.await {
                Ok(None) => return,
                Ok(Some(message)) if message["event"] == "mark" => leg.send(&message).await,
                Ok(Some(_)) | Err(_) => {}
            }
        }
    };
    tokio::join!(ordered, listening);
    warm.service.empty().await;
    let mut fields = ring(&call, "+15550142");
    fields[2].1 = "in-progress";
    let after = Request::signed("/after-stream", &fields)
        .send(warm.service.public)
        .await;
    let room = format!(">{call}-1</Conference>");
    let action = "/after-dial?target=front_desk&amp;met=1";
    let text = after.text();
    assert!(text.contains(&room) && text.contains(action), "{text}");
    // The caller is on their way there, and the person hangs up.
    let person = sid("CA");
    let mut over = ring(&person, "+15550142");
    over[2].1 = "completed";
    let path = format!("/person-status?call={call}&attempt=1");
    let reply = Request::signed(&path, &over)
        .send(warm.service.public)
        .await;
    assert_eq!(reply.status, 204);
    let back = "https://spa.example/after-dial?target=front_desk&status=declined";
    let fetched = |request: &switchboard_kit::twilio::RestRequest| {
        request.path.ends_with(&format!("/Calls/{call}.json")) && request.field("Url") == Some(back)
    };
    until("the caller is fetched back", SOON, async || {
        warm.rest.requests().iter().any(fetched)
    })
    .await;
    let path = back.strip_prefix("https://spa.example").unwrap();
    let reply = Request::signed(path, &fields)
        .send(warm.service.public)
        .await;
    assert!(reply.text().contains("/media-stream/"), "{}", reply.text());
    // Two who have talked are not torn apart: the end of their meeting forgets the call.
    let met = "/after-dial?target=front_desk&met=1";
    let mut ended = fields.clone();
    ended.extend([("DialCallStatus", "answered"), ("DialBridged", "false")]);
    let reply = Request::signed(met, &ended).send(warm.service.public).await;
    assert!(reply.text().contains("<Hangup/>"), "{}", reply.text());
    for call in line.exchange.live() {
        let _ = line
            .exchange
            .update(&call, switchboard_kit::twilio::Update::Complete);
    }
    warm.rest.people().await;
    warm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_calls_people_too_and_a_wrong_one_nobody() {
    let key = [
        ("TWILIO_API_KEY", "SK00000000000000000000000000000001"),
        ("TWILIO_API_SECRET", "itest-api-secret-0123456789"),
    ];
    for (password, calls) in [(key[1].1, true), ("another secret", false)] {
        let warm = WarmTransfers::with_login(sending(), (key[0].1, password), &key).await;
        warm.rest.person(answers(Some('1')));
        let line = warm.line();
        let exchange = line.exchange.clone();
        let rooms = line.rooms.clone();
        let call = tokio::spawn(async move { line.call(caller(asks())).await });
        if !calls {
            warm.until_told("could not be reached").await;
            for call in exchange.live() {
                exchange
                    .update(&call, switchboard_kit::twilio::Update::Complete)
                    .unwrap();
            }
        }
        call.await.unwrap();
        assert_eq!(warm.rest.people().await.len(), usize::from(calls));
        assert_eq!(rooms.meetings().len(), usize::from(calls));
        let status = if calls { Some(201) } else { Some(401) };
        assert_eq!(warm.rest.requests()[0].status, status);
        warm.stop().await;
    }
}

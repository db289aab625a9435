//! Tools in a call: the whole service, an emulated model that calls them, a caller who hears what comes of it.

use std::time::Duration;

use call_protocol::tool::ToolSpec;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::Arc;
use switchboard::telemetry::install_panic_hook;
#[cfg(feature = "fault-hook")]
use switchboard_actors::failpoints::{Action, arm};
use switchboard_actors::tools::{Blocking, Outcome, Tool, ToolRequest};
use switchboard_kit::realtime::{
    Ending, Fault, Logged, Realtime, Resume, Say, Script, Session, Step as Answer, Telling,
    ToolCall, When,
};
use switchboard_kit::twilio::{CallEnd, CallOutcome, Step};

use test_support::tool_server::{Does, ToolServer};
use test_support::{
    AGENT, Options, SOON, TestService, brief_with, caller, listen, say, tone, until,
};

/// An answer that calls tools and says nothing.
pub(crate) fn calling(tools: &[(&str, Value)]) -> Answer {
    let calls = tools.iter().map(|(name, arguments)| ToolCall {
        name: (*name).to_owned(),
        arguments: arguments.clone(),
    });
    Answer {
        tools: calls.collect(),
        ..Answer::default()
    }
}

/// Asked anything, the model calls these, and then says what came of it.
pub(crate) fn model_calling(tools: &[(&str, Value)]) -> Realtime {
    let step = calling(tools);
    brief_with(move |script: &mut Script| script.turns = vec![step, tone(880, 600, "Here it is.")])
}

/// The spa with one HTTP tool; `more` are lines of the tool.
pub(crate) fn toml(server: &ToolServer, agent: &str, more: &str) -> String {
    let agent = AGENT.replacen(
        "[fallback]",
        &format!("tools = [\"it\"]\n{agent}\n[fallback]"),
        1,
    );
    format!(
        "{agent}\n[tools.it]\nkind = \"http\"\ndescription = \"Does it.\"\nurl = \"{}\"\nallow_private = true\n\
         secret = \"itest-tool-secret\"\n{more}\n",
        server.url()
    )
}

pub(crate) async fn service(model: Realtime, toml: String) -> TestService {
    let options = Options {
        toml,
        ..Options::default()
    };
    TestService::start(options.model(model)).await
}

/// Hears the greeting, asks, hears the answer, stays for `then`.
pub(crate) async fn ask(
    service: &TestService,
    then: impl IntoIterator<Item = Step>,
) -> CallOutcome {
    let mut steps = vec![listen(), say("hello"), listen()];
    steps.extend(then);
    steps.push(Step::HangUp);
    service.line().call(caller(steps)).await
}

pub(crate) fn outputs(session: &Session) -> Vec<Value> {
    let items = session.received_of("conversation.item.create");
    let outputs = items.iter().map(|event| &event["item"]);
    let outputs = outputs.filter(|item| item["type"] == "function_call_output");
    outputs
        .map(|item| serde_json::from_str(item["output"].as_str().unwrap()).unwrap())
        .collect()
}

pub(crate) fn tools_run(scrape: &test_support::http::Scrape, tool: &str, result: &str) -> f64 {
    scrape.get(&format!(
        "switchboard_tool_seconds_count{{result=\"{result}\",tool=\"{tool}\"}}"
    ))
}

pub(crate) fn went_well(outcome: &CallOutcome, answers: usize) {
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    let speech = &outcome.streams[0].agent_speech;
    assert_eq!(speech.len(), answers, "{speech:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_called_and_what_came_of_it_is_heard() {
    let server = ToolServer::start([Does::json(r#"{"name":"Ann"}"#)]).await;
    let service = service(
        model_calling(&[("it", json!({"at": 9}))]),
        toml(&server, "", ""),
    )
    .await;
    let call = ask(&service, [Step::Wait { ms: 1_500 }]);
    let page = async {
        let mut page = Value::Null;
        until("the tool stands on the call's page", SOON, async || {
            let calls = service.calls().await;
            let Some(sid) = calls["calls"][0]["call_sid"].as_str() else {
                return false;
            };
            page = service
                .operator("GET", &format!("/admin/calls/{sid}"))
                .await
                .json();
            page["tools"][0]["state"] == "ok"
        })
        .await;
        page
    };
    let (outcome, page) = tokio::join!(call, page);
    went_well(&outcome, 2);
    assert_eq!(page["tools"][0]["name"], "it");
    assert!(page["tools"][0]["ms"].as_u64().unwrap() < 1_000);
    let session = service.model.session(1).unwrap();
    assert_eq!(outputs(&session), [json!({"name": "Ann"})]);
    let offered = session.config()["tools"].clone();
    assert_eq!(offered[0]["name"], "it");
    assert_eq!(offered.as_array().unwrap().len(), 1, "{offered}");
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].json()["arguments"], json!({"at": 9}));
    assert_eq!(asked[0].json()["caller"], "+15550142".to_owned().as_str());
    service.empty().await;
    assert_eq!(tools_run(&service.metrics().await, "it", "ok"), 1.0);
    service.stop().await;
}

/// Asked anything, the model calls the tool in an answer that ends so, and then says what came of it. How often an answer
/// was asked for after the tool's output, and in all.
async fn asked_after_a_call_in(answer: Answer) -> (usize, usize) {
    let server = ToolServer::start([Does::AnswersAfter(300, "{}".to_owned())]).await;
    let model = brief_with(move |script: &mut Script| {
        script.turns = vec![answer, tone(880, 600, "Here it is.")];
        script.unprompted = tone(220, 600, "Once more.");
    });
    let silent = "tool_filler = { mode = \"none\" }";
    let service = service(model, toml(&server, silent, "")).await;
    let outcome = ask(&service, [Step::Wait { ms: 2_500 }]).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    assert_eq!(server.asked().len(), 1);
    let session = service.model.session(1).unwrap();
    assert_eq!(outputs(&session), [json!({})]);
    let received = session.received();
    let is_output = |event: &Logged| event.json()["item"]["type"] == "function_call_output";
    let output = received.iter().position(is_output).unwrap();
    let creates = |events: &[Logged]| {
        let kinds = events.iter().map(|event| event.kind.as_str());
        kinds.filter(|kind| *kind == "response.create").count()
    };
    let asked = (creates(&received[output..]), creates(&received));
    service.stop().await;
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_called_in_an_answer_that_fails_or_is_cut_is_answered_once_after_its_output() {
    let calls = calling(&[("it", json!({}))]);
    for (name, status, words) in [
        ("failed", Ending::FailsAtEnd, None),
        ("failed with words", Ending::FailsAtEnd, Some(600)),
        ("out of tokens", Ending::MaxOutputTokens, Some(600)),
        ("filtered", Ending::ContentFilter, Some(600)),
    ] {
        let says = words.map(|ms| Say::tone(660, ms, "One moment."));
        let answer = Answer {
            says: says.into_iter().collect(),
            calls_first: true,
            status,
            ..calls.clone()
        };
        let (after_output, all) = asked_after_a_call_in(answer).await;
        // The greeting is the other one.
        assert_eq!((after_output, all), (1, 2), "{name}");
        println!("{name}: asked {after_output} time after the output, never before it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_tool_is_filled_with_a_word_and_holds_up_no_audio() {
    let server = ToolServer::start([Does::AnswersAfter(2_500, "{}".to_owned())]).await;
    let filler = "tool_filler = { after_ms = 500, text = \"Say that it takes a moment.\" }";
    let model = model_calling(&[("it", json!({}))]);
    let service = service(model, toml(&server, filler, "")).await;
    let outcome = ask(&service, [listen(), Step::Wait { ms: 300 }]).await;
    went_well(&outcome, 3);
    let session = service.model.session(1).unwrap();
    let asked = session.received_of("response.create");
    let fillers = asked.iter().filter(|event| {
        let words = event["response"]["instructions"]
            .as_str()
            .unwrap_or_default();
        words.contains("Say that it takes a moment.")
    });
    assert_eq!(fillers.count(), 1);
    // The caller's audio went on to the model all the time: 50 frames a second of the whole call.
    let seconds = outcome.streams[0].duration_ms / 1_000;
    let appended = session.appended_bytes() / 160;
    assert!(
        appended + 100 >= seconds * 50,
        "{appended} frames in {seconds} s"
    );
    println!("slow tool: filler after 500 ms, {appended} caller frames in {seconds} s");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_late_is_told_and_the_call_goes_on() {
    let server = ToolServer::start([Does::HangsWhenDone]).await;
    let model = model_calling(&[("it", json!({}))]);
    let service = service(
        model,
        toml(
            &server,
            "tool_filler = { mode = \"none\" }",
            "timeout_ms = 700",
        ),
    )
    .await;
    let outcome = ask(&service, []).await;
    went_well(&outcome, 2);
    let told = outputs(&service.model.session(1).unwrap());
    assert_eq!(told.len(), 1);
    assert!(
        told[0]["error"]
            .as_str()
            .unwrap()
            .contains("did not answer in time"),
        "{told:?}"
    );
    service.empty().await;
    assert_eq!(tools_run(&service.metrics().await, "it", "timed_out"), 1.0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_told_twice_and_arguments_that_are_none_run_nothing_more() {
    let server = ToolServer::start([Does::json("{}")]).await;
    let model = model_calling(&[
        ("it", json!({})),
        ("it", json!("rubbish")),
        ("nothing", json!({})),
    ]);
    let service = service(
        model.fault(Fault::ItemsTwice),
        toml(&server, "", "effects = true"),
    )
    .await;
    let outcome = ask(&service, []).await;
    went_well(&outcome, 2);
    assert_eq!(server.asked().len(), 1);
    let session = service.model.session(1).unwrap();
    assert_eq!(outputs(&session).len(), 3, "each call is answered once");
    let after_tools = session.received_of("response.create").len();
    assert_eq!(after_tools, 2, "the greeting, and one for all outputs");
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(scrape.violations("model", "tool_call_again"), 3.0);
    assert_eq!(scrape.violations("model", "bad_tool_arguments"), 1.0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_speaks_while_a_tool_runs_causes_no_second_run() {
    let server =
        ToolServer::start([Does::AnswersAfter(2_000, r#"{"code":"A7"}"#.to_owned())]).await;
    // The model, interrupted, wishes the same again.
    let model = brief_with(|script| {
        script.turns = vec![
            calling(&[("it", json!({"at": 9}))]),
            calling(&[("it", json!({"at": 9.0}))]),
            tone(880, 600, "Here it is."),
        ];
    });
    let service = service(
        model,
        toml(
            &server,
            "tool_filler = { mode = \"none\" }",
            "effects = true",
        ),
    )
    .await;
    let steps = [
        listen(),
        say("hello"),
        Step::Wait { ms: 900 },
        say("yes"),
        listen(),
        Step::Wait { ms: 500 },
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(server.effects(), 1);
    let told = outputs(&service.model.session(1).unwrap());
    assert_eq!(
        told,
        [json!({"code": "A7"}), json!({"code": "A7"})],
        "both calls have the one outcome"
    );
    println!("interrupted while running: 2 calls of the model, 1 effect");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lost_while_a_tool_runs_is_followed_by_one_that_knows_the_outcome() {
    let server =
        ToolServer::start([Does::AnswersAfter(1_500, r#"{"code":"A7"}"#.to_owned())]).await;
    let model = brief_with(|script| {
        script.turns = vec![
            calling(&[("it", json!({"at": 9}))]),
            calling(&[("it", json!({"at": 9}))]),
        ];
        script.unprompted = tone(880, 600, "It is booked.");
    });
    let model = model.resume(Resume::CarryOn);
    let service = service(model, toml(&server, "", "effects = true")).await;
    let lose = async {
        server.asked_times(1).await;
        service
            .model
            .faults()
            .live(Fault::Reset { when: When::Now });
    };
    let steps = [
        listen(),
        say("hello"),
        Step::Wait { ms: 4_000 },
        Step::HangUp,
    ];
    let line = service.line();
    let (outcome, ()) = tokio::join!(line.call(caller(steps)), lose);
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    assert_eq!(server.effects(), 1);
    let second = service.model.session(2).unwrap();
    let told: String = second
        .replayed()
        .iter()
        .map(|item| item.text.clone())
        .collect();
    let items = second.received_of("conversation.item.create");
    let all = serde_json::to_string(&items).unwrap();
    assert!(
        all.contains("A7"),
        "the outcome reached the new session: {all}"
    );
    assert!(told.contains("You called the tool it"), "{told}");
    println!(
        "session lost in the middle of a tool: 1 effect, its outcome told to the next session"
    );
    service.stop().await;
}

#[cfg(feature = "fault-hook")]
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_the_call_while_a_tool_runs_neither_stops_it_nor_runs_it_again() {
    let server =
        ToolServer::start([Does::AnswersAfter(1_200, r#"{"code":"A7"}"#.to_owned())]).await;
    let model = model_calling(&[("it", json!({"at": 9}))]);
    let service = service(model, toml(&server, "", "effects = true")).await;
    let fault = async {
        server.asked_times(1).await;
        let calls = service.calls().await;
        let sid = calls["calls"][0]["call_sid"].as_str().unwrap().to_owned();
        arm("call.step", &sid, Action::Panic);
    };
    let (outcome, ()) = tokio::join!(ask(&service, []), fault);
    went_well(&outcome, 2);
    assert_eq!(
        server.asked().len(),
        1,
        "the run under way is joined, not made again"
    );
    assert_eq!(
        outputs(&service.model.session(1).unwrap()),
        [json!({"code": "A7"})]
    );
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(scrape.sum("switchboard_call_restarts_total"), 1.0);
    println!("fault of the call while a tool runs: 1 restart, 1 effect, the outcome heard");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mcp_server_is_named_to_the_model() {
    let server = ToolServer::start([Does::json("{}")]).await;
    let toml = toml(&server, "", "").replace("kind = \"http\"", "kind = \"mcp\"");
    let toml = format!("{toml}headers = {{ X-Tenant = \"spa\" }}\n");
    let service = service(brief_with(|_| {}), toml).await;
    let outcome = ask(&service, []).await;
    went_well(&outcome, 2);
    let session = service.model.session(1).unwrap();
    let update = session.received_of("session.update").remove(0);
    assert_eq!(
        update["session"]["tools"],
        json!([{
            "type": "mcp", "server_label": "it", "server_description": "Does it.", "server_url": server.url(),
            "require_approval": "never", "authorization": "itest-tool-secret", "headers": {"X-Tenant": "spa"},
        }])
    );
    service.stop().await;
}

/// Fails.
struct Broken;

impl Tool for Broken {
    fn run(&self, _: ToolRequest) -> BoxFuture<'static, Outcome> {
        Box::pin(async { panic!("a tool that fails") })
    }
}

fn own(name: &str, tool: Arc<dyn Tool>) -> (ToolSpec, Arc<dyn Tool>) {
    (
        crate::service::tools::single_tool::spec(name, false, Duration::from_secs(2)),
        tool,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_of_the_process_is_run_and_one_that_panics_costs_only_itself() {
    let server = ToolServer::start([Does::json("{}")]).await;
    let model = model_calling(&[
        ("find_times", json!({})),
        ("list_services", json!({"at": 3})),
    ]);
    let blocking = Blocking::new(true, |request: ToolRequest| {
        std::thread::sleep(Duration::from_millis(20));
        Ok(json!({"asked": request.arguments}).to_string())
    });
    let mut options = Options {
        toml: toml(&server, "", "").replace(
            "tools = [\"it\"]",
            "tools = [\"find_times\", \"list_services\"]",
        ),
        ..Options::default()
    }
    .model(model);
    options.own.tools = vec![
        own("find_times", Arc::new(Broken)),
        own("list_services", Arc::new(blocking)),
    ];
    let service = TestService::start(options).await;
    install_panic_hook(service.counters.panics.clone());
    let outcome = ask(&service, []).await;
    // As it was before.
    drop(std::panic::take_hook());
    went_well(&outcome, 2);
    let told = outputs(&service.model.session(1).unwrap());
    assert!(
        told.contains(&json!({"error": "the tool does not work at the moment"})),
        "{told:?}"
    );
    assert!(told.contains(&json!({"asked": {"at": 3}})), "{told:?}");
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(tools_run(&scrape, "find_times", "panicked"), 1.0);
    assert_eq!(tools_run(&scrape, "list_services", "ok"), 1.0);
    // Other tests of this program panic, too.
    assert!(scrape.get("switchboard_panics_total") >= 1.0);
    assert_eq!(scrape.sum("switchboard_call_restarts_total"), 0.0);
    println!("a panic in a tool: counted once, answered, no restart of the call");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_the_model_s_server_refuses_costs_no_other() {
    let server = ToolServer::start([Does::json(r#"{"name":"Ann"}"#)]).await;
    let wishes = format!(
        "[tools.wishes]\nkind = \"http\"\ndescription = \"Takes wishes.\"\nurl = \"{}\"\nallow_private = true\n\
         parameters = {{ type = \"object\", properties = {{ wishes = {{ type = \"array\" }} }} }}\n",
        server.url()
    );
    let toml = toml(&server, "", "").replacen(
        "tools = [\"it\"]",
        "tools = [\"end_call\", \"wishes\", \"it\"]",
        1,
    );
    let service = service(
        model_calling(&[("it", json!({}))]),
        format!("{toml}{wishes}"),
    )
    .await;
    let outcome = ask(&service, []).await;
    went_well(&outcome, 2);
    let session = service.model.session(1).unwrap();
    let refused = session.sent_of("error");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["error"]["code"], "invalid_function_parameters");
    assert_eq!(refused[0]["error"]["param"], "session.tools[1].parameters");
    let offered = session.config()["tools"].clone();
    let offered: Vec<&str> = offered
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    assert_eq!(offered, ["end_call", "it"]);
    assert_eq!(outputs(&session), [json!({"name": "Ann"})]);
    service.empty().await;
    assert_eq!(
        service.metrics().await.violations("model", "refused_tool"),
        1.0
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_told_in_one_event_alone_is_run_once() {
    for telling in [Telling::Arguments, Telling::ResponseDone] {
        let server = ToolServer::start([Does::json(r#"{"name":"Ann"}"#)]).await;
        let model = model_calling(&[("it", json!({"at": 9}))]).fault(Fault::CallsToldIn(telling));
        let service = service(model, toml(&server, "", "")).await;
        let outcome = ask(&service, []).await;
        went_well(&outcome, 2);
        let session = service.model.session(1).unwrap();
        assert_eq!(outputs(&session), [json!({"name": "Ann"})], "{telling:?}");
        let asked = server.asked();
        assert_eq!(asked.len(), 1, "{telling:?}");
        assert_eq!(asked[0].json()["arguments"], json!({"at": 9}));
        service.empty().await;
        let scrape = service.metrics().await;
        assert_eq!(scrape.violations("model", "empty_response"), 0.0);
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_is_acknowledged_without_a_word_is_told_as_done() {
    let server = ToolServer::start([Does::of_kind(204, "", "")]).await;
    let service = service(
        model_calling(&[("it", json!({}))]),
        toml(&server, "", "effects = true"),
    )
    .await;
    let outcome = ask(&service, []).await;
    went_well(&outcome, 2);
    assert_eq!(
        outputs(&service.model.session(1).unwrap()),
        [json!({"status": "done"})]
    );
    service.empty().await;
    assert_eq!(tools_run(&service.metrics().await, "it", "ok"), 1.0);
    service.stop().await;
}

//! Tools the model's server runs itself.

use std::sync::Arc;

use crate::common::events::{model, response_started, setup};
use crate::common::rig::Rig;
use bytes::Bytes;
use call_protocol::call::CallSetup;
use call_protocol::call::effect::Peer;
use call_protocol::call::event::Event;
use call_protocol::ids::Interner;
use call_protocol::model::openai;
use serde_json::{Value, json};

/// A call whose model may use the tools of a weather server.
fn with_weather() -> CallSetup {
    let mut setup = setup();
    let session = &mut Arc::make_mut(&mut setup.agent).session;
    session
        .tools
        .push(json!({"type": "mcp", "server_label": "weather"}));
    setup
}

/// What the server says, as its socket delivers it.
fn says(event: &Value) -> Event {
    let text = Bytes::from(event.to_string());
    model(openai::read(&text, &mut Interner::default()).unwrap())
}

fn item(kind: &str, item: Value) -> Event {
    says(&json!({"type": kind, "response_id": "resp_1", "output_index": 0, "item": item}))
}

fn call(server: &str, error: Value) -> Value {
    json!({"id": "mcp_1", "type": "mcp_call", "server_label": server, "name": "forecast", "arguments": "{}",
        "output": "sun", "error": error})
}

fn done(output: Value) -> Event {
    says(
        &json!({"type": "response.done", "response": {"id": "resp_1", "status": "completed", "output": [output]}}),
    )
}

#[test]
fn a_tool_the_server_ran_is_timed_counted_and_shown() {
    for (error, result) in [
        (Value::Null, "ok"),
        (
            json!({"type": "mcp_protocol_error", "message": "no"}),
            "failed",
        ),
    ] {
        let mut rig = Rig::live(with_weather());
        rig.event(response_started("resp_1"));
        let begun = json!({"id": "mcp_1", "type": "mcp_call"});
        rig.event(item("response.output_item.added", begun));
        rig.pass(1_240);
        rig.event(item(
            "response.output_item.done",
            call("weather", error.clone()),
        ));
        rig.event(done(call("weather", error)));
        let ran = rig.take_of(&["server_tool", "respond"]);
        assert_eq!(ran[0], format!("server_tool weather {result} 1240"));
        assert_eq!(ran.len(), 2, "and the model goes on, once: {ran:?}");
        let rows = rig.call.detail(rig.now).tools;
        assert_eq!(
            (rows[0].name.as_str(), rows[0].state, rows[0].ms),
            ("weather", result, 1_240)
        );
    }
}

#[test]
fn a_server_the_settings_do_not_name_is_no_label() {
    let mut rig = Rig::live(with_weather());
    rig.event(response_started("resp_1"));
    rig.event(item(
        "response.output_item.done",
        call("elsewhere", Value::Null),
    ));
    assert_eq!(rig.take_of(&["server_tool"]), ["server_tool mcp ok 0"]);
    assert_eq!(rig.call.violations(Peer::Model, "unknown_tool_server"), 1);
}

#[test]
fn a_request_for_approval_is_refused_when_its_response_is_done() {
    let mut rig = Rig::live(with_weather());
    rig.event(response_started("resp_1"));
    let request = json!({"id": "mcpr_1", "type": "mcp_approval_request", "server_label": "weather", "name": "forecast",
        "arguments": "{}"});
    rig.event(item("response.output_item.done", request.clone()));
    assert!(
        rig.take_of(&["refuse", "respond"]).is_empty(),
        "not known there yet"
    );
    rig.event(done(request));
    let did = rig.take_of(&["refuse", "respond"]);
    assert_eq!(did[0], "refuse mcpr_1");
    assert_eq!(did.len(), 2, "and the model says so: {did:?}");
    assert_eq!(rig.call.violations(Peer::Model, "approval_request"), 1);
}

#[test]
fn a_server_of_tools_that_is_away_is_told_to_the_model() {
    let mut rig = Rig::live(with_weather());
    rig.event(says(
        &json!({"type": "mcp_list_tools.failed", "item_id": "mcpl_1"}),
    ));
    let did = rig.take_of(&["server_tool", "tell", "respond"]);
    assert_eq!(did[0], "server_tool mcp unlisted 0");
    assert!(did[1].contains("does not work at the moment"), "{did:?}");
    assert_eq!(did.len(), 2, "nobody has asked for them yet: {did:?}");
}

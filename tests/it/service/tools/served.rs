//! Tools the model's provider runs: it asks the MCP server of the settings, we tell it of the server and see what comes.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_kit::mcp::{McpServer, McpTool};
use switchboard_kit::twilio::{CallEnd, CallOutcome, Step};

use crate::service::tools::conversation::{ask, model_calling, service};
use test_support::{AGENT, SOON, TestService, until};

/// The spa with the tools of a server.
fn toml(url: &str) -> String {
    let agent = AGENT.replacen("[fallback]", "tools = [\"weather\"]\n[fallback]", 1);
    format!(
        "{agent}\n[tools.weather]\nkind = \"mcp\"\ndescription = \"Knows the weather.\"\nurl = \"{url}\"\n\
         allow_private = true\nsecret = \"itest-tool-secret\"\n"
    )
}

fn forecast(answer: Result<&str, &str>, takes: Duration) -> McpTool {
    McpTool {
        name: "forecast".to_owned(),
        answer: answer.map(str::to_owned).map_err(str::to_owned),
        takes,
    }
}

async fn runs(service: &TestService, tool: &str, result: &str) -> f64 {
    let name = format!("switchboard_tool_seconds_count{{result=\"{result}\",tool=\"{tool}\"}}");
    service.metric(&name).await
}

/// The longest time in which the caller heard nothing after they had asked.
fn longest_silence_ms(outcome: &CallOutcome) -> u64 {
    let stream = &outcome.streams[0];
    let mut heard_until = stream.caller_speech.last().unwrap().to_ms;
    let mut longest = 0;
    for speech in &stream.agent_speech {
        longest = longest.max(speech.from_ms.saturating_sub(heard_until));
        heard_until = heard_until.max(speech.to_ms);
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_of_an_mcp_server_is_run_by_the_provider_and_seen_here() {
    for (answer, takes, result) in [
        (Ok("sun"), Duration::ZERO, "ok"),
        (Err("no such city"), Duration::ZERO, "failed"),
        (Ok("sun"), Duration::from_millis(3_500), "ok"),
    ] {
        let server = McpServer::start(vec![forecast(answer, takes)])
            .await
            .unwrap();
        let model = model_calling(&[("forecast", json!({"city": "Lisbon"}))]);
        let service = service(model, toml(&server.url())).await;
        let mut page = Value::Null;
        let seen = async {
            until("the tool stands on the call's page", SOON * 2, async || {
                let calls = service.calls().await;
                let Some(sid) = calls["calls"][0]["call_sid"].as_str() else {
                    return false;
                };
                let path = format!("/admin/calls/{sid}");
                page = service.operator("GET", &path).await.json();
                page["tools"]
                    .as_array()
                    .is_some_and(|tools| !tools.is_empty())
            })
            .await;
        };
        let wait = Step::Wait {
            ms: 2_000 + u64::try_from(takes.as_millis()).unwrap(),
        };
        let (outcome, ()) = tokio::join!(ask(&service, [wait]), seen);
        assert_eq!(outcome.end, CallEnd::CallerHungUp);
        assert_eq!(outcome.complaints(), []);
        // The provider asked the server as the settings say; nobody here did.
        let requests = server.requests();
        let methods: Vec<_> = requests.iter().map(|request| request.method()).collect();
        let usual = [
            "initialize",
            "notifications/initialized",
            "tools/list",
            "tools/call",
        ];
        assert_eq!(methods, usual);
        let authorization = Some("Bearer itest-tool-secret");
        assert!(
            requests
                .iter()
                .all(|request| request.authorization.as_deref() == authorization)
        );
        let call = &requests[3].message["params"];
        assert_eq!(
            *call,
            json!({"name": "forecast", "arguments": {"city": "Lisbon"}})
        );
        // The model was asked to go on, once, and spoke of it.
        let session = service.model.session(1).unwrap();
        assert_eq!(session.received_of("response.create").len(), 2);
        let last = session.sent_of("response.output_audio_transcript.done");
        assert_eq!(last.last().unwrap()["transcript"], "Here it is.");
        service.empty().await;
        assert_eq!(runs(&service, "weather", result).await, 1.0);
        assert_eq!(page["tools"][0]["name"], "weather");
        assert_eq!(page["tools"][0]["state"], result);
        let scrape = service.metrics().await;
        assert_eq!(scrape.violations("model", "unknown_event"), 0.0);
        let silence = longest_silence_ms(&outcome);
        println!("an mcp tool of {takes:?}, {result}: {silence} ms of silence at most");
        assert!(silence < 2_600, "the filler is heard");
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_tools_that_is_down_costs_its_tools_and_nothing_else() {
    let server = McpServer::start(Vec::new()).await.unwrap();
    let url = server.url();
    drop(server);
    let model = model_calling(&[]);
    let service = service(model, toml(&url)).await;
    let outcome = ask(&service, [Step::Wait { ms: 500 }]).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    let session = service.model.session(1).unwrap();
    assert_eq!(session.sent_of("mcp_list_tools.failed").len(), 1);
    let told = session.received_of("conversation.item.create");
    let told = told
        .iter()
        .map(|event| event["item"]["content"][0]["text"].as_str());
    let told = told
        .flatten()
        .filter(|text| text.contains("does not work at the moment"));
    assert_eq!(told.count(), 1);
    assert_eq!(runs(&service, "mcp", "unlisted").await, 1.0);
    println!("an mcp server that is down: the model is told once, the call goes on");
    service.stop().await;
}

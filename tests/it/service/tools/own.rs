//! Tools of this process, named by the settings: those a program brings along, and the service's own in other words.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use call_protocol::tool::ToolSpec;
use serde_json::{Value, json};
use switchboard::agents::catalog::{OwnTools, check_names};
use switchboard::settings::Settings;
use switchboard_actors::tools::{Blocking, ToolRequest};

use crate::service::tools::conversation::{ask, model_calling, outputs, tools_run, went_well};
use test_support::child::run;
use test_support::{AGENT, MODEL_KEY, Options, TestService, environment};

/// A tool that counts a customer's points, and how often it was run.
fn loyalty_points() -> (OwnTools, Arc<AtomicU32>) {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let tool = Blocking::new(true, move |request: ToolRequest| {
        counted.fetch_add(1, Ordering::SeqCst);
        let points = json!({"of": request.arguments["customer"], "points": 120, "has_effects": request.effects});
        Ok(points.to_string())
    });
    let spec = ToolSpec {
        name: "loyalty_points".to_owned(),
        description: "Tells how many points a customer has.".to_owned(),
        parameters: json!({
            "type": "object", "properties": {"customer": {"type": "string"}}, "required": ["customer"],
        }),
        effects: false,
        timeout: Duration::from_secs(2),
    };
    let own = OwnTools {
        tools: vec![(spec, Arc::new(tool))],
        ..OwnTools::default()
    };
    (own, runs)
}

fn toml(tools: &str, sections: &str) -> String {
    let agent = AGENT.replacen("[fallback]", &format!("tools = [{tools}]\n[fallback]"), 1);
    format!("{agent}\n{sections}\n")
}

const NAMED: &str = "[tools.loyalty_points]\nkind = \"builtin\"\n";

/// Starts a service with the tool; the model asks it for Ann's points.
async fn asked(sections: &str) -> (TestService, Arc<AtomicU32>) {
    let (own, runs) = loyalty_points();
    let model = model_calling(&[("loyalty_points", json!({"customer": "Ann"}))]);
    let mut options = Options {
        toml: toml("\"loyalty_points\", \"end_call\"", sections),
        ..Options::default()
    }
    .model(model);
    options.own = own;
    (TestService::start(options).await, runs)
}

fn offered(service: &TestService, name: &str) -> Value {
    let tools = service.model.session(1).unwrap().config()["tools"].clone();
    let tools = tools.as_array().unwrap();
    tools
        .iter()
        .find(|tool| tool["name"] == name)
        .unwrap()
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_the_program_brings_along_has_a_name_of_its_own() {
    let (service, runs) = asked(NAMED).await;
    let outcome = ask(&service, []).await;
    went_well(&outcome, 2);
    let told = outputs(&service.model.session(1).unwrap());
    assert_eq!(
        told,
        [json!({"of": "Ann", "points": 120, "has_effects": false})]
    );
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let offered = offered(&service, "loyalty_points");
    assert_eq!(
        offered["description"],
        "Tells how many points a customer has."
    );
    assert_eq!(offered["parameters"]["required"], json!(["customer"]));
    service.empty().await;
    assert_eq!(
        tools_run(&service.metrics().await, "loyalty_points", "ok"),
        1.0
    );
    service.stop().await;
    println!("a tool of the program under its own name: offered, run once, its answer told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_settings_say_of_a_tool_of_the_process_goes_before_its_own_words() {
    let sections = format!(
        "{NAMED}description = \"Knows the points.\"\neffects = true\ntimeout_ms = 900\n\
         parameters = {{ type = \"object\", properties = {{ customer = {{ type = \"string\", maxLength = 40 }} }} }}\n\
         [tools.end_call]\nkind = \"builtin\"\ndescription = \"Hangs up.\"\n"
    );
    let (service, _) = asked(&sections).await;
    let outcome = ask(&service, []).await;
    went_well(&outcome, 2);
    let told = outputs(&service.model.session(1).unwrap());
    assert_eq!(told[0]["has_effects"], true);
    let points = offered(&service, "loyalty_points");
    assert_eq!(points["description"], "Knows the points.");
    assert_eq!(
        points["parameters"]["properties"]["customer"]["maxLength"],
        40
    );
    assert_eq!(offered(&service, "end_call")["description"], "Hangs up.");
    service.stop().await;
}

#[test]
fn a_name_that_is_no_tool_of_the_process_is_refused_before_anything_listens() {
    let environment = environment("ws://127.0.0.1:9/v1/realtime", &[]);
    let read = |toml: &str| Settings::from_toml(toml, Path::new("itest.toml"), &environment);
    let settings = read(&toml("\"loyalty_points\"", NAMED)).unwrap();
    assert_eq!(check_names(&settings, &loyalty_points().0), Ok(()));
    let error = check_names(&settings, &OwnTools::default()).unwrap_err();
    assert!(
        error.to_string().starts_with(
            "tools.loyalty_points names \"loyalty_points\", which does not exist; this process has end_call, "
        ),
        "{error}"
    );
    let mistyped = toml("", "[tools.find_time]\nkind = \"builtin\"\n");
    let error = check_names(&read(&mistyped).unwrap(), &OwnTools::default()).unwrap_err();
    assert!(
        error.to_string().ends_with("did you mean find_times?"),
        "{error}"
    );
    // The book's own in other words is one the program knows.
    let book = toml(
        "\"find_times\"",
        "[tools.find_times]\nkind = \"builtin\"\ndescription = \"Finds.\"\n",
    );
    assert_eq!(
        check_names(&read(&book).unwrap(), &OwnTools::default()),
        Ok(())
    );
}

#[test]
fn the_binary_says_which_name_is_wrong_and_exits_with_64() {
    let folder = std::env::temp_dir().join(format!("switchboard-own-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let config = folder.join("switchboard.toml");
    std::fs::write(&config, toml("\"loyalty_points\"", NAMED)).unwrap();
    let mut variables: BTreeMap<String, String> = environment(
        "ws://127.0.0.1:9/v1/realtime",
        &[("OPENAI_API_KEY", MODEL_KEY.to_owned())],
    );
    let config = config.display().to_string();
    variables.insert("SWITCHBOARD_CONFIG".to_owned(), config);
    for command in [&["serve"][..], &["check", "--offline"]] {
        let ended = run(command, &variables);
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(64), "{command:?}: {told}");
        assert!(told.contains("tools.loyalty_points"), "{command:?}: {told}");
        assert_eq!(told.trim().lines().count(), 1, "{command:?}: {told}");
    }
    let _ = std::fs::remove_dir_all(&folder);
}

//! How agents use tools, and what a tool may be told besides where it is.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use switchboard::settings::tool_use::{
    DEFAULT_CALLS_A_TURN, DEFAULT_FILLER, DEFAULT_FILLER_AFTER, FillerVoice, ToolUse,
};

use switchboard::settings::{ToolRef, TransferMode};

use super::support::{accepted, agent, dev, refusal};

fn tool(lines: &str) -> String {
    format!(
        "{}[tools.crm]\nkind = \"http\"\ndescription = \"Finds.\"\nurl = \"https://crm.example.com/\"\n{lines}\n",
        agent("")
    )
}

#[test]
fn an_agent_that_says_nothing_about_its_tools_has_the_defaults() {
    let settings = accepted(&agent(""), &dev());
    let usual = &settings.default_agent().tool_use;
    assert_eq!(usual, &ToolUse::default());
    assert_eq!(usual.calls_a_turn, 8);
    assert_eq!(usual.calls_a_turn, DEFAULT_CALLS_A_TURN);
    let filler = usual.filler.as_ref().unwrap();
    assert_eq!(filler.after, Duration::from_millis(1_500));
    assert_eq!(filler.after, DEFAULT_FILLER_AFTER);
    let text = DEFAULT_FILLER.to_owned();
    assert_eq!(filler.says, FillerVoice::Model { text });
    let built_in = accepted("", &dev());
    assert_eq!(built_in.default_agent().tool_use, ToolUse::default());
}

#[test]
fn transfers_are_cold_and_ring_for_a_while_unless_said_otherwise() {
    let usual = accepted(&agent(""), &dev());
    assert_eq!(usual.transfer.ring_seconds, 20);
    assert_eq!(usual.transfer.mode, TransferMode::Cold);
    let set = "[transfer]\nmode = \"warm\"\nring_seconds = 45\nbriefing = \"Ann? {summary}\"\n";
    let set = accepted(&format!("{}{set}", agent("")), &dev());
    assert_eq!(set.transfer.ring_seconds, 45);
    assert_eq!(set.transfer.mode, TransferMode::Warm);
    assert_eq!(set.transfer.briefing, "Ann? {summary}");
    for (line, words) in [
        ("briefing = \" \"", "transfer.briefing is empty"),
        ("mode = \"tepid\"", "transfer.mode is \"tepid\""),
        ("ring_seconds = 4", "transfer.ring_seconds is 4"),
        ("ring_seconds = 601", "transfer.ring_seconds is 601"),
    ] {
        let sentence = refusal(&format!("{}[transfer]\n{line}\n", agent("")), &dev());
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[test]
fn fillers_and_limits_are_read_and_refused() {
    let read = |lines: &str| {
        accepted(&agent(lines), &dev())
            .default_agent()
            .tool_use
            .clone()
    };
    assert_eq!(read("tool_filler = { mode = \"none\" }").filler, None);
    let said =
        read("tool_calls_a_turn = 3\ntool_filler = { text = \"One moment.\", after_ms = 900 }");
    assert_eq!(said.calls_a_turn, 3);
    let filler = said.filler.unwrap();
    assert_eq!(filler.after, Duration::from_millis(900));
    let text = "One moment.".to_owned();
    assert_eq!(filler.says, FillerVoice::Model { text });
    for (lines, words) in [
        ("tool_calls_a_turn = 0", "agents.spa.tool_calls_a_turn is 0"),
        (
            "tool_filler = { after_ms = 5 }",
            "agents.spa.tool_filler.after_ms is 5",
        ),
        (
            "tool_filler = { mode = \"song\" }",
            "use model, clip or none",
        ),
        (
            "tool_filler = { mode = \"clip\" }",
            "agents.spa.tool_filler.clip is missing",
        ),
        (
            "tool_filler = { clip = \"absent.wav\" }",
            "agents.spa.tool_filler.clip",
        ),
        (
            "tool_filler = { mode = \"model\", clip = \"a.wav\" }",
            "does not use it",
        ),
        ("tool_filler = { wait = 1 }", "tool_filler.wait"),
    ] {
        let sentence = refusal(&agent(lines), &dev());
        assert!(sentence.contains(words), "{lines}: {sentence}");
    }
}

#[test]
fn of_several_secrets_the_first_signs() {
    let folder = std::env::temp_dir().join(format!("switchboard-secrets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("crm.secret");
    let signs = |lines: &str| {
        let secret = accepted(&tool(lines), &dev()).tools["crm"].secret.clone();
        secret.unwrap().expose_secret().to_owned()
    };
    let named = format!("secret_file = \"{}\"", file.display());
    for (text, first) in [
        ("canary-new\ncanary-old\n", "canary-new"),
        ("\n canary-new\r\ncanary-old", "canary-new"),
        ("canary with blanks\n", "canary with blanks"),
    ] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(signs(&named), first, "{text:?}");
    }
    assert_eq!(signs("secret = \"canary-new\\ncanary-old\""), "canary-new");
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn headers_are_secrets_under_names_that_are_free() {
    let usual = &accepted(&tool(""), &dev()).tools["crm"];
    assert!(usual.headers.is_empty() && !usual.idempotent && usual.redirect_hosts.is_empty());
    let settings = accepted(
        &tool(
            "headers = { Authorization = \"Bearer canary\" }\nidempotent = true\nredirect_hosts = [\"eu.crm.example.com\"]",
        ),
        &dev(),
    );
    let crm = &settings.tools["crm"];
    assert_eq!(crm.headers[0].0, "Authorization");
    assert_eq!(crm.headers[0].1.expose_secret(), "Bearer canary");
    assert!(crm.idempotent);
    assert_eq!(crm.redirect_hosts, ["eu.crm.example.com"]);
    assert!(!settings.masked_summary().contains("canary"));
    for (lines, words) in [
        (
            "headers = { \"Idempotency-Key\" = \"canary\" }",
            "is written by the service itself",
        ),
        (
            "headers = { \"a b\" = \"canary\" }",
            "is not the name of a header",
        ),
        (
            "headers = { X = \"canary\\n\" }",
            "cannot stand in a header",
        ),
        (
            "headers = { X = { file = \"absent\" } }",
            "tools.crm.headers.X",
        ),
        ("headers = { X = 7 }", "tools.crm.headers"),
        ("redirect_hosts = [\"https://x/\"]", "is not a host name"),
        ("idempotent = 1", "tools.crm.idempotent"),
    ] {
        let sentence = refusal(&tool(lines), &dev());
        assert!(sentence.contains(words), "{lines}: {sentence}");
    }
    let mcp = "[tools.m]\nkind = \"mcp\"\ndescription = \"x\"\nurl = \"https://m.example.com/\"\neffects = true\n";
    let sentence = refusal(&format!("{}{mcp}", agent("")), &dev());
    assert!(
        sentence.contains("called by the model's provider"),
        "{sentence}"
    );
}

#[test]
fn a_tool_of_the_process_is_named_by_its_kind_and_may_be_told_in_other_words() {
    let toml = |lines: &str| {
        let agent = agent("tools = [\"loyalty_points\", \"find_times\"]");
        format!(
            "{agent}[tools.find_times]\nkind = \"builtin\"\n[tools.loyalty_points]\nkind = \"builtin\"\n{lines}\n"
        )
    };
    let settings = accepted(&toml(""), &dev());
    assert!(settings.tools.is_empty());
    let usual = &settings.built_ins["loyalty_points"];
    assert_eq!(
        (&usual.description, usual.effects, usual.timeout),
        (&None, None, None)
    );
    let named = &settings.default_agent().tools;
    assert_eq!(named[0], ToolRef::Configured("loyalty_points".to_owned()));
    assert_eq!(named[1], ToolRef::BuiltIn("find_times"));
    assert!(
        settings
            .masked_summary()
            .contains("tools.loyalty_points = in this process")
    );
    let said = "description = \"Knows.\"\neffects = true\ntimeout_ms = 700\nparameters = { type = \"object\" }";
    let settings = accepted(&toml(said), &dev());
    let said = &settings.built_ins["loyalty_points"];
    assert_eq!(said.description.as_deref(), Some("Knows."));
    assert_eq!(said.effects, Some(true));
    assert_eq!(said.timeout, Some(Duration::from_millis(700)));
    for (lines, words) in [
        (
            "url = \"https://x.example.com/\"",
            "tools.loyalty_points.url is set, but a builtin tool runs in this process",
        ),
        ("secret = \"canary\"", "tools.loyalty_points.secret is set"),
        (
            "idempotent = true",
            "tools.loyalty_points.idempotent is set",
        ),
        ("timeout_ms = 5", "tools.loyalty_points.timeout_ms is 5"),
        (
            "parameters = { type = \"array\" }",
            "is not the schema of an object",
        ),
        (
            "[tools.end_call]\nkind = \"builtin\"\neffects = true",
            "is carried out by the call itself",
        ),
        (
            "[tools.x]\nkind = \"inside\"\ndescription = \"x\"",
            "use http, mcp or builtin",
        ),
    ] {
        let sentence = refusal(&toml(lines), &dev());
        assert!(sentence.contains(words), "{lines}: {sentence}");
    }
    // Nobody has said what it is.
    let sentence = refusal(&agent("tools = [\"loyalty_points\"]"), &dev());
    assert!(
        sentence.contains("define [tools.loyalty_points]"),
        "{sentence}"
    );
}

#[test]
fn an_agent_may_take_fewer_calls_than_the_service() {
    assert_eq!(accepted(&agent(""), &dev()).default_agent().max_calls, None);
    let set = accepted(&agent("max_calls = 20"), &dev());
    assert_eq!(set.default_agent().max_calls, Some(20));
    let sentence = refusal(&agent("max_calls = 0"), &dev());
    assert!(sentence.contains("agents.spa.max_calls is 0"), "{sentence}");
}

#[test]
fn parameters_that_are_no_json_schema_are_refused_with_the_tool_and_the_place() {
    for (parameters, words) in [
        (
            "{ type = \"object\", properties = { day = { type = \"strin\" } } }",
            "tools.crm.parameters is no JSON Schema: properties.day.type: ",
        ),
        (
            "{ type = \"object\", required = \"day\" }",
            "tools.crm.parameters is no JSON Schema: required: ",
        ),
        (
            "{ type = \"object\", properties = { day = { pattern = \"(\" } } }",
            "tools.crm.parameters is no JSON Schema: properties.day.pattern: ",
        ),
        (
            "{ type = \"object\", properties = { day = { \"$ref\" = \"https://x.example.com/day.json\" } } }",
            "tools.crm.parameters is no JSON Schema: ",
        ),
    ] {
        let sentence = refusal(&tool(&format!("parameters = {parameters}")), &dev());
        assert!(sentence.contains(words), "{sentence}");
    }
    let built_in = "[tools.find_times]\nkind = \"builtin\"\nparameters = { type = \"object\", properties = 7 }\n";
    let sentence = refusal(&format!("{}{built_in}", agent("")), &dev());
    assert!(
        sentence.contains("tools.find_times.parameters is no JSON Schema: properties: "),
        "{sentence}"
    );
}

#[test]
fn a_list_without_items_is_a_schema_of_which_the_log_warns() {
    let wishes = |items: &str| {
        let list = format!("wishes = {{ type = \"array\"{items} }}");
        tool(&format!(
            "parameters = {{ type = \"object\", properties = {{ {list} }} }}"
        ))
    };
    let doubtful = accepted(&wishes(""), &dev());
    let told: Vec<String> = doubtful.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("tools.crm.parameters has a list without items at properties.wishes; "),
        "{told:?}"
    );
    let clear = accepted(&wishes(", items = { type = \"string\" }"), &dev());
    assert_eq!(clear.warnings, []);
}

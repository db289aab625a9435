//! Everything that is wrong is told at once, and each thing once.

use std::path::Path;

use switchboard::settings::Settings;

use super::support::{Map, REQUIRED, agent, env, with};

/// All sentences, in their order.
fn all(toml: &str, env: &Map) -> Vec<String> {
    let Err(errors) = Settings::from_toml_all(toml, Path::new("spa/switchboard.toml"), env) else {
        panic!("accepted: {toml}")
    };
    let sentences: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(
        sentences.iter().all(|sentence| !sentence.contains('\n')),
        "{sentences:?}"
    );
    sentences
}

/// Each sentence begins so, and there are no others.
fn assert_told(toml: &str, env: &Map, expected: &[&str]) {
    let told = all(toml, env);
    let fits = told.len() == expected.len()
        && told
            .iter()
            .zip(expected)
            .all(|(told, begins)| told.starts_with(begins));
    assert!(
        fits,
        "{toml}\n{}\n  is not\n{}",
        told.join("\n"),
        expected.join("\n")
    );
}

#[test]
fn what_is_wrong_in_many_places_is_told_in_one_go() {
    let toml = r#"
        default_agent = "spa"
        colour = "blue"
        [server]
        workers = "two"
        fleet_url = "voice"
        [openai]
        dial = "never"
        [limits]
        max_calls = 0
        max_day_cost_usd = -1.0
        [agents.spa]
        instructions = "You are {{nobody}}."
        numbers = ["+1555", "15550100", "+15550101"]
        voice = "nova"
        greting = { mode = "wait" }
        tools = ["crm", "crm_lokup", "end_call", "end_call"]
        keys = { "0" = "desk", "1" = "nobody" }
        max_calls = 0
        [agents.night]
        instructions = "You are the night."
        numbers = ["+15550101"]
        language = "english!"
        filler = { clip = "absent.wav" }
        [tools.crm]
        kind = "http"
        timeout_ms = 1
        [fallback]
        dial = "100"
        [transfer]
        mode = "hot"
        targets = { desk = "+4420794609" }
        [log]
        format = "xml"
        [twilio]
        stream_signature = "perhaps"
    "#;
    let env = with(&[
        ("SWITCHBOARD_MAXCALLS", "5"),
        ("SWITCHBOARD_ADMIN_TOKEN", "short"),
        ("TWILIO_AUTH_TOKEN", ""),
        ("OPENAI_REALTIME_URL", "http://model.example.com"),
        ("TWILIO_API_URL", "http://api.twilio.com"),
        ("TWILIO_ACCOUNT_SID", "AC1"),
    ]);
    let told = all(toml, &env);
    for expected in [
        "unknown key agents.spa.greting at line 16; did you mean agents.spa.greeting?",
        "unknown key colour at line 3",
        "server.workers in spa/switchboard.toml at line 5 has the wrong type",
        "SWITCHBOARD_MAXCALLS is not a setting of switchboard; did you mean SWITCHBOARD_MAX_CALLS?",
        "openai.url (OPENAI_REALTIME_URL) is not a WebSocket address",
        "openai.dial is \"never\"",
        "twilio.auth_token (TWILIO_AUTH_TOKEN) is missing",
        "admin.token (SWITCHBOARD_ADMIN_TOKEN) has fewer than 16 characters",
        "limits.max_calls (SWITCHBOARD_MAX_CALLS) is 0, which is out of range",
        "limits.max_day_cost_usd is -1",
        "tools.crm.description is missing",
        "tools.crm.url is missing",
        "tools.crm.timeout_ms is 1, which is out of range",
        "transfer.targets.desk is not a phone number",
        "transfer.mode is \"hot\"",
        "fallback.dial is not a phone number",
        "agents.night.language",
        "agents.night.filler.clip names spa/absent.wav",
        "agents.spa.numbers is not a phone number: it has 3 digits",
        "agents.spa.numbers is not a phone number; write it",
        "agents.spa.instructions names \"{{nobody}}\"",
        "agents.spa.voice is \"nova\"",
        "agents.spa.tools names \"crm_lokup\", which does not exist",
        "agents.spa.tools names end_call twice",
        "agents.spa.keys.1 names \"nobody\"",
        "agents.spa.max_calls is 0",
        "server.fleet_url is not a URL",
        "twilio.api_url (TWILIO_API_URL) is not an https:// address",
        "twilio.stream_signature is \"perhaps\"",
        "twilio.account_sid (TWILIO_ACCOUNT_SID) is not an account SID",
        "log.format (SWITCHBOARD_LOG_FORMAT) is \"xml\"",
    ] {
        let times = told.iter().filter(|told| told.contains(expected)).count();
        assert_eq!(times, 1, "{expected}\n{}", told.join("\n"));
    }
    assert_eq!(told.len(), 31, "{}", told.join("\n"));
    // Who has room for one sentence gets the first of them.
    let first = Settings::from_toml(toml, Path::new("spa/switchboard.toml"), &env);
    assert_eq!(
        first.err().map(|error| error.to_string()).as_ref(),
        told.first()
    );
}

#[test]
fn what_only_follows_from_something_told_is_not_told_besides() {
    let required = env(REQUIRED);
    // A misspelled key is not missing, too, nor is one of a wrong type or an unreadable file.
    assert_told(
        "[agents.spa]\ninstruction = \"You answer.\"\n",
        &required,
        &["spa/switchboard.toml has the unknown key agents.spa.instruction at line 2"],
    );
    assert_told(
        "[openai]\napi_key = 12\n",
        &with(&[("OPENAI_API_KEY", "")]),
        &["openai.api_key in spa/switchboard.toml at line 2 has the wrong type"],
    );
    assert_told(
        "",
        &with(&[
            ("TWILIO_AUTH_TOKEN", ""),
            ("TWILIO_AUTH_TOKEN_FILE", "/no/such/file"),
        ]),
        &["TWILIO_AUTH_TOKEN_FILE names "],
    );
    assert_told(
        "",
        &with(&[
            ("SWITCHBOARD_PUBLIC_URL", ""),
            ("SWITCHBOARD_PUBLICURL", "https://a.example"),
        ]),
        &[
            "SWITCHBOARD_PUBLICURL is not a setting of switchboard; did you mean SWITCHBOARD_PUBLIC_URL?",
        ],
    );
    // A tool, a target or an agent that is wrong is there.
    assert_told(
        &format!(
            "{}[tools.crm]\nkind = \"grpc\"\ndescription = \"x\"\nurl = \"https://a.example/\"\n",
            agent("tools = [\"crm\"]")
        ),
        &required,
        &["tools.crm.kind is \"grpc\""],
    );
    assert_told(
        &format!(
            "{}[transfer.targets]\ndesk = \"100\"\n",
            agent("tools = [\"transfer_call\"]\nkeys = { \"0\" = \"desk\" }")
        ),
        &required,
        &["transfer.targets.desk is not a phone number"],
    );
    assert_told(
        &format!("default_agent = \"spa\"\n{}", agent("voice = \"nova\"")),
        &required,
        &["agents.spa.voice is \"nova\""],
    );
    // A file that is no TOML says nothing about what else there is.
    assert_told(
        "[agents.spa\n",
        &with(&[("OPENAI_API_KEY", "")]),
        &["spa/switchboard.toml is not valid TOML at line 1"],
    );
}

#[test]
fn a_clip_that_cannot_be_played_is_found_when_the_settings_are_read() {
    let folder = std::env::temp_dir().join(format!("switchboard-clips-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("welcome.wav");
    // As MPEG audio begins.
    std::fs::write(
        &file,
        [&b"ID3\x04\0\0\0\0\0\0\xFF\xFB\x90\x44"[..], &[0; 400]].concat(),
    )
    .unwrap();
    let file = file.display();
    for (lines, key) in [
        (
            format!("greeting = {{ clip = \"{file}\" }}"),
            "greeting.clip",
        ),
        (format!("filler = {{ clip = \"{file}\" }}"), "filler.clip"),
        (
            format!("tool_filler = {{ clip = \"{file}\" }}"),
            "tool_filler.clip",
        ),
    ] {
        let begins = format!("agents.spa.{key} names {file}, which cannot be played (");
        assert_told(&agent(&lines), &env(REQUIRED), &[&begins]);
        assert!(all(&agent(&lines), &env(REQUIRED))[0].ends_with("; give a WAV file"));
    }
    let _ = std::fs::remove_dir_all(folder);
}

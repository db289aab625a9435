//! The configuration as an operator meets it: what is accepted, and the sentence for everything that is not.

mod agents;
mod callers;
mod problems;
mod reload;
mod support;
mod tools;

use std::path::{Path, PathBuf};
use std::time::Duration;

use switchboard::settings::{
    LogFormat, ProcessEnv, Settings, SettingsError, Store, StreamSignature, ToolRef, Trust, Voice,
    keys,
};

use support::{REQUIRED, accepted, agent, dev, env, refusal, with};

#[test]
fn without_a_file_one_built_in_agent_answers_every_number() {
    let settings = accepted("", &env(REQUIRED));
    let (name, agent) = settings.agent_for("+15550100");
    assert_eq!(name, "default");
    assert_eq!(agent.model.name, "gpt-realtime-2.1");
    assert_eq!(agent.voice, Voice::Named("marin"));
    assert!(!agent.instructions.is_empty());
    assert_eq!(agent.tools, [ToolRef::BuiltIn("end_call")]);
    assert_eq!(agent.fallback, settings.fallback);
}

#[test]
fn defaults_are_those_of_the_table() {
    let settings = accepted("", &env(REQUIRED));
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:5050");
    assert_eq!(settings.admin_listen.to_string(), "127.0.0.1:5051");
    assert_eq!(settings.data.dir, PathBuf::from("./data"));
    assert!(matches!(settings.data.store, Store::Sqlite));
    assert_eq!(settings.limits.max_calls, 500);
    assert_eq!(settings.limits.max_call, Duration::from_secs(3600));
    assert_eq!(settings.limits.drain, Duration::from_secs(600));
    assert_eq!(
        settings.openai.url.as_str(),
        "wss://api.openai.com/v1/realtime"
    );
    assert_eq!(
        settings.openai.url_for("m 1").as_str(),
        "wss://api.openai.com/v1/realtime?model=m+1"
    );
    assert_eq!(settings.twilio.api_url.as_str(), "https://api.twilio.com/");
    assert_eq!(settings.twilio.stream_signature, StreamSignature::Require);
    assert_eq!(settings.log.filter, "info");
    assert_eq!(settings.log.format, LogFormat::Auto);
    assert!(!settings.log.transcripts);
    assert!(settings.server.workers >= 1);
    assert!(!settings.is_dev());
    assert_eq!(
        settings.public_url().map(|url| url.as_str()),
        Some("https://voice.example.com")
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let file = "[server]\nlisten = \"127.0.0.1:7000\"\nworkers = 3\n[limits]\nmax_calls = 9\n[openai]\nmodel = \"gpt-realtime-2\"";
    let settings = accepted(file, &with(&[("SWITCHBOARD_MAX_CALLS", "12")]));
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:7000");
    assert_eq!(settings.server.workers, 3);
    assert_eq!(settings.limits.max_calls, 12);
    assert_eq!(settings.openai.model, "gpt-realtime-2");
}

#[test]
fn port_changes_the_port_alone_and_yields_to_the_full_address() {
    let port = ("PORT", "8080");
    assert_eq!(
        accepted("", &with(&[port])).server.listen.to_string(),
        "0.0.0.0:8080"
    );
    let file = "[server]\nlisten = \"127.0.0.1:7000\"";
    assert_eq!(
        accepted(file, &with(&[port])).server.listen.to_string(),
        "127.0.0.1:8080"
    );
    let both = with(&[port, ("SWITCHBOARD_LISTEN", "10.0.0.1:1")]);
    assert_eq!(accepted("", &both).server.listen.to_string(), "10.0.0.1:1");
    assert!(refusal("", &with(&[("PORT", "70000")])).contains("PORT"));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let settings = accepted(
        "",
        &with(&[("SWITCHBOARD_LISTEN", ""), ("SWITCHBOARD_MAX_CALLS", " ")]),
    );
    assert_eq!(settings.limits.max_calls, 500);
}

#[test]
fn every_required_key_is_named_when_missing() {
    for (name, key) in [
        ("SWITCHBOARD_PUBLIC_URL", "server.public_url"),
        ("SWITCHBOARD_ADMIN_TOKEN", "admin.token"),
        ("TWILIO_AUTH_TOKEN", "twilio.auth_token"),
        ("OPENAI_API_KEY", "openai.api_key"),
    ] {
        let sentence = refusal("", &with(&[(name, "")]));
        assert!(
            sentence.contains(name) && sentence.contains(key) && sentence.contains("missing"),
            "{sentence}"
        );
    }
}

#[test]
fn secrets_come_from_files_too() {
    let folder = std::env::temp_dir().join(format!("switchboard-settings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("token");
    std::fs::write(&file, "canary-from-a-file\n").unwrap();
    let path = file.to_str().unwrap();

    let settings = accepted(
        "",
        &with(&[("TWILIO_AUTH_TOKEN", ""), ("TWILIO_AUTH_TOKEN_FILE", path)]),
    );
    let Trust::Verified { auth_tokens, .. } = &settings.server.trust else {
        panic!("dev")
    };
    use secrecy::ExposeSecret as _;
    assert_eq!(auth_tokens.first().expose_secret(), "canary-from-a-file");

    let twice = refusal("", &with(&[("TWILIO_AUTH_TOKEN_FILE", path)]));
    assert!(
        twice.contains("TWILIO_AUTH_TOKEN and TWILIO_AUTH_TOKEN_FILE are both set"),
        "{twice}"
    );
    let absent = folder.join("absent");
    let absent = refusal(
        "",
        &with(&[
            ("OPENAI_API_KEY", ""),
            ("OPENAI_API_KEY_FILE", absent.to_str().unwrap()),
        ]),
    );
    assert!(absent.contains("OPENAI_API_KEY_FILE"), "{absent}");
    std::fs::write(&file, " \n").unwrap();
    let empty = refusal(
        "",
        &with(&[
            ("SWITCHBOARD_ADMIN_TOKEN", ""),
            ("SWITCHBOARD_ADMIN_TOKEN_FILE", path),
        ]),
    );
    assert!(empty.contains("it is empty"), "{empty}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_named_configuration_file_must_exist() {
    let absent = Settings::load(
        Some(Path::new("/nonexistent/switchboard.toml")),
        &env(REQUIRED),
    );
    assert!(matches!(absent, Err(SettingsError::FileUnreadable { .. })));
    let by_env = Settings::load(
        None,
        &with(&[("SWITCHBOARD_CONFIG", "/nonexistent/other.toml")]),
    );
    let Err(error) = by_env else {
        panic!("accepted")
    };
    assert!(
        error.to_string().contains("/nonexistent/other.toml"),
        "{error}"
    );
}

/// The working directory belongs to the whole process, so this runs as a child of the next test.
#[test]
#[ignore = "run by another test as its child"]
fn the_child_loads_what_its_process_has() {
    let Ok(expected) = std::env::var("SETTINGS_TEST_AGENT") else {
        return;
    };
    match Settings::load(None, &ProcessEnv) {
        Ok(settings) => assert_eq!(settings.default_agent().name, expected),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_usual_file_is_read_if_it_is_there_and_yields_to_a_named_one() {
    let folder = std::env::temp_dir().join(format!("switchboard-usual-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let agent_of = |expected: &str, variables: &[(&str, &str)]| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "settings::the_child_loads_what_its_process_has",
            "--ignored",
        ]);
        child
            .env_clear()
            .current_dir(&folder)
            .env("SETTINGS_TEST_AGENT", expected)
            .envs(REQUIRED.iter().copied());
        let output = child.envs(variables.iter().copied()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
    };
    agent_of("default", &[]);
    std::fs::write(
        folder.join("switchboard.toml"),
        "[agents.usual]\ninstructions = \"x\"",
    )
    .unwrap();
    std::fs::write(
        folder.join("named.toml"),
        "[agents.named]\ninstructions = \"x\"",
    )
    .unwrap();
    agent_of("usual", &[]);
    agent_of("named", &[("SWITCHBOARD_CONFIG", "named.toml")]);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn dev_needs_nothing_but_loopback() {
    let settings = accepted("", &dev());
    assert!(settings.is_dev());
    assert!(settings.public_url().is_none());

    let mut open = dev();
    open.insert("SWITCHBOARD_LISTEN".into(), "0.0.0.0:5050".into());
    let sentence = refusal("", &open);
    assert!(
        sentence.contains("SWITCHBOARD_DEV") && sentence.contains("SWITCHBOARD_LISTEN"),
        "{sentence}"
    );
    let mut open = dev();
    open.insert("SWITCHBOARD_ADMIN_LISTEN".into(), "[::]:5051".into());
    assert!(refusal("", &open).contains("SWITCHBOARD_ADMIN_LISTEN"));
    let mut with_default = dev();
    with_default.remove("SWITCHBOARD_LISTEN");
    assert!(refusal("", &with_default).contains("0.0.0.0:5050"));
}

#[test]
fn dev_behind_a_public_address_warns() {
    let mut tunnel = dev();
    tunnel.insert(
        "SWITCHBOARD_PUBLIC_URL".into(),
        "https://abc.tunnel.example.com".into(),
    );
    let settings = accepted("", &tunnel);
    assert_eq!(
        settings.public_url().map(|url| url.as_str()),
        Some("https://abc.tunnel.example.com")
    );
    assert!(settings.warnings[0].to_string().contains("SWITCHBOARD_DEV"));
    tunnel.insert(
        "SWITCHBOARD_PUBLIC_URL".into(),
        "http://localhost:5050".into(),
    );
    assert!(accepted("", &tunnel).warnings.is_empty());
}

#[test]
fn dev_still_needs_a_key_for_a_model_elsewhere() {
    let mut map = dev();
    map.remove("OPENAI_REALTIME_URL");
    assert!(refusal("", &map).contains("OPENAI_API_KEY"));
    // Outside dev an emulated model needs one too, but any text will do.
    let emulated = ("OPENAI_REALTIME_URL", "ws://localhost:9/v1/realtime");
    assert!(refusal("", &with(&[emulated, ("OPENAI_API_KEY", "")])).contains("OPENAI_API_KEY"));
    accepted("", &with(&[emulated, ("OPENAI_API_KEY", "any text")]));
    assert!(refusal("", &with(&[("OPENAI_API_KEY", "canary text")])).contains("OPENAI_API_KEY"));
}

#[test]
fn values_off_their_range_are_refused_by_name() {
    for (name, wrong) in [
        ("SWITCHBOARD_MAX_CALLS", "0"),
        ("SWITCHBOARD_MAX_CALLS", "many"),
        ("SWITCHBOARD_MAX_CALLS", "99999999999999999999"),
        ("SWITCHBOARD_MAX_CALL_SECONDS", "9"),
        ("SWITCHBOARD_MAX_CALL_SECONDS", "86401"),
        ("SWITCHBOARD_DRAIN_SECONDS", "-1"),
        ("SWITCHBOARD_WORKERS", "0"),
        ("SWITCHBOARD_WORKERS", "1.5"),
        ("SWITCHBOARD_DEV", "perhaps"),
        ("SWITCHBOARD_LISTEN", "5050"),
        ("SWITCHBOARD_LISTEN", "localhost"),
        ("SWITCHBOARD_ADMIN_LISTEN", "0.0.0.0:5050"),
        ("SWITCHBOARD_STORE", "mysql"),
        ("SWITCHBOARD_LOG_FORMAT", "xml"),
        ("SWITCHBOARD_ADMIN_TOKEN", "15-characters.."),
        (
            "SWITCHBOARD_ADMIN_TOKEN",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        ("SWITCHBOARD_ADMIN_TOKEN", "abcdabcdabcdabcd"),
        ("SWITCHBOARD_ADMIN_TOKEN", "sixteen characters with spaces"),
        ("SWITCHBOARD_PUBLIC_URL", "http://voice.example.com"),
        ("SWITCHBOARD_PUBLIC_URL", "https://voice.example.com/twilio"),
        (
            "SWITCHBOARD_PUBLIC_URL",
            "https://user:canary@voice.example.com",
        ),
        ("OPENAI_REALTIME_URL", "ws://model.example.com/v1/realtime"),
        ("OPENAI_REALTIME_URL", "https://api.openai.com/v1/realtime"),
        (
            "OPENAI_REALTIME_URL",
            "wss://api.openai.com/v1/realtime?model=x",
        ),
        ("OPENAI_REALTIME_MODEL", "two words"),
        ("TWILIO_ACCOUNT_SID", "AC123"),
        ("TWILIO_API_URL", "http://api.twilio.com"),
    ] {
        let sentence = refusal("", &with(&[(name, wrong)]));
        assert!(sentence.contains(name), "{name}={wrong}: {sentence}");
    }
}

#[test]
fn an_unknown_variable_of_ours_is_an_error_that_names_the_nearest() {
    let sentence = refusal("", &with(&[("SWITCHBOARD_MAXCALLS", "5")]));
    assert!(
        sentence.contains("did you mean SWITCHBOARD_MAX_CALLS?"),
        "{sentence}"
    );
    let sentence = refusal("", &with(&[("SWITCHBOARD_PORT", "8080")]));
    assert!(
        sentence.starts_with("SWITCHBOARD_PORT is not a setting"),
        "{sentence}"
    );
}

#[test]
fn what_kubernetes_puts_beside_a_service_is_not_ours() {
    accepted(
        "",
        &with(&[
            ("SWITCHBOARD_SERVICE_HOST", "10.0.0.1"),
            ("SWITCHBOARD_SERVICE_PORT", "5050"),
            ("SWITCHBOARD_SERVICE_PORT_HTTP", "5050"),
            ("SWITCHBOARD_PORT", "tcp://10.0.0.1:5050"),
            ("SWITCHBOARD_PORT_5050_TCP_ADDR", "10.0.0.1"),
            ("SWITCHBOARD_ADMIN_PORT", "tcp://10.0.0.1:5051"),
        ]),
    );
}

#[test]
fn an_unknown_key_in_the_file_is_named_with_line_and_nearest() {
    let sentence = refusal(
        "[server]\nlisten = \"0.0.0.0:1\"\nworker = 2\n",
        &env(REQUIRED),
    );
    assert_eq!(
        sentence,
        "spa/switchboard.toml has the unknown key server.worker at line 3; did you mean server.workers?"
    );
    let sentence = refusal(&agent("greting = { mode = \"wait\" }"), &env(REQUIRED));
    assert!(
        sentence.contains("agents.spa.greting at line 3; did you mean agents.spa.greeting?"),
        "{sentence}"
    );
    let sentence = refusal("colour = 1", &env(REQUIRED));
    assert!(
        sentence.contains("unknown key colour at line 1; remove it"),
        "{sentence}"
    );
    assert!(
        refusal(
            &agent("turn_detection = { type = \"server_vad\", treshold = 0.4 }"),
            &env(REQUIRED)
        )
        .contains("agents.spa.turn_detection.threshold")
    );
}

#[test]
fn broken_toml_and_wrong_types_are_one_sentence_without_the_line_itself() {
    let sentence = refusal(
        "[openai]\napi_key = \"canary-unclosed\nurl = \"\"",
        &env(REQUIRED),
    );
    assert!(sentence.contains("line 2"), "{sentence}");
    let sentence = refusal("[server]\nworkers = \"two\"", &env(REQUIRED));
    assert!(
        sentence.contains("server.workers") && sentence.contains("line 2"),
        "{sentence}"
    );
    let sentence = refusal("[openai]\napi_key = 12345678", &env(REQUIRED));
    assert!(
        sentence.contains("openai.api_key") && !sentence.contains("12345678"),
        "{sentence}"
    );
}

#[test]
fn rest_credentials_prefer_the_api_key() {
    let sid = ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001");
    assert!(accepted("", &env(REQUIRED)).twilio.rest.is_none());
    let by_token = accepted("", &with(&[sid])).twilio.rest.unwrap();
    assert_eq!(by_token.basic(), (sid.1, "canary-auth-token"));
    let key = ("TWILIO_API_KEY", "SK1");
    let secret = ("TWILIO_API_SECRET", "canary-secret");
    let by_key = accepted("", &with(&[sid, key, secret]))
        .twilio
        .rest
        .unwrap();
    assert_eq!(by_key.basic(), ("SK1", "canary-secret"));
    assert!(refusal("", &with(&[sid, key])).contains("TWILIO_API_SECRET"));
    assert!(refusal("", &with(&[sid, secret])).contains("TWILIO_API_KEY"));
    assert!(refusal("", &with(&[key, secret])).contains("TWILIO_ACCOUNT_SID"));
}

#[test]
fn the_summary_shows_where_values_come_from_and_no_secret() {
    let file = format!(
        "{}[openai]\nurl = \"wss://model.example/v1?key=canary\"\n[transfer.targets]\ndesk = \"+15550199\"\n\
         [tools.crm]\nkind = \"mcp\"\ndescription = \"x\"\nurl = \"https://crm.example.com/?key=canary\"\nsecret = \"canary\"\n",
        agent("numbers = [\"+15550100\"]\ntools = [\"crm\"]")
    );
    let summary = accepted(&file, &with(&[("SWITCHBOARD_MAX_CALLS", "7")])).masked_summary();
    assert!(
        !summary.contains("canary") && !summary.contains("5550199"),
        "{summary}"
    );
    for line in [
        "limits.max_calls = 7 (SWITCHBOARD_MAX_CALLS)",
        "limits.drain_seconds = 600 (default)",
        "openai.api_key = •••••••• (OPENAI_API_KEY)",
        "twilio.api_key = not set",
        "openai.url = wss://model.example/v1?masked (file)",
        "transfer.targets.desk = +1•••••0199",
        "tools.crm = crm.example.com, signed",
    ] {
        assert!(summary.contains(line), "{line} is not in\n{summary}");
    }
    assert!(
        summary.contains("agents.spa = +1•••••0100, every other number; model gpt-realtime-2.1"),
        "{summary}"
    );
}

#[test]
fn the_shipped_example_works_as_it_stands() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/switchboard.toml");
    let settings = match Settings::load(Some(&path), &env(REQUIRED)) {
        Ok(settings) => settings,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(settings.agent_for("+15550123").0, "spa");
    assert!(settings.warnings.is_empty());
    for agent in settings.agents().values() {
        // What it is told to offer, it can do.
        let words = agent.instructions.to_lowercase();
        let offers = [
            "front desk",
            "transfer",
            "connect",
            "put through",
            "call back",
            "called back",
        ];
        let offer = offers.iter().find(|offer| words.contains(*offer));
        let can = agent
            .tools
            .iter()
            .any(|tool| tool.name() == "transfer_call");
        assert!(can || offer.is_none(), "{offer:?} without transfer_call");
        for tool in ["list_services", "find_times", "find_appointments"] {
            let named = agent.tools.iter().any(|named| named.name() == tool);
            assert!(named || !words.contains(tool), "{tool}");
        }
    }
}

#[test]
fn every_key_of_the_example_is_read_when_its_comments_are_taken_off() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/switchboard.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut uncommented = String::new();
    for line in text.lines() {
        let example = line
            .strip_prefix('#')
            .filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
        // A secret file is not shipped.
        let shipped = example.filter(|rest| !rest.starts_with("secret_file"));
        uncommented.push_str(shipped.unwrap_or(line));
        uncommented.push('\n');
    }
    let settings = accepted(&uncommented, &env(REQUIRED));
    assert!(settings.tools.contains_key("crm_lookup"));
    assert!(settings.built_ins.contains_key("find_times"));
    assert_eq!(settings.agent_for("").1.max_calls, Some(20));
    assert_eq!(settings.agent_for("").1.keys.len(), 1);
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn the_readme_shows_the_table_of_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(path).unwrap_or_default();
    let table = keys::markdown_table();
    let shown = readme
        .split_once("<!-- settings -->")
        .and_then(|(_, rest)| rest.split_once("<!-- /settings -->"))
        .map(|(table, _)| table.trim());
    assert!(
        shown == Some(table.trim()),
        "put this between <!-- settings --> and <!-- /settings --> in README.md:\n{table}"
    );
}

#[test]
fn the_readme_s_agent_is_an_agent() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(path).unwrap_or_default();
    let agent = readme
        .split_once("```toml\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .map_or("", |(agent, _)| agent);
    let settings = accepted(agent, &env(REQUIRED));
    let (name, agent) = settings.agent_for("+15551230100");
    assert_eq!(name, "spa");
    assert_eq!(agent.tools.len(), 5);
    assert!(settings.transfer_targets.contains_key("front_desk"));
}

#[test]
fn a_redis_store_is_refused_in_plain_words_and_without_its_password() {
    for url in ["redis://user:canary@cache:6379", "rediss://cache"] {
        let sentence = refusal("", &with(&[("SWITCHBOARD_STORE", url)]));
        assert!(
            sentence.contains("SWITCHBOARD_STORE") && sentence.contains("use sqlite"),
            "{sentence}"
        );
    }
    let memory = accepted("", &with(&[("SWITCHBOARD_STORE", "memory")]));
    assert!(matches!(memory.data.store, Store::Memory));
}

#[test]
fn budgets_are_dollars_and_there_are_none_unless_somebody_sets_them() {
    let budgets = |limits: &str| {
        let limits = accepted(&format!("[limits]\n{limits}\n"), &env(REQUIRED)).limits;
        (limits.max_call_cost_usd, limits.max_day_cost_usd)
    };
    assert_eq!(budgets(""), (None, None));
    assert_eq!(
        budgets("max_call_cost_usd = 2\nmax_day_cost_usd = 99.5"),
        (Some(2.0), Some(99.5))
    );
    for key in ["max_call_cost_usd", "max_day_cost_usd"] {
        for wrong in ["0", "-1.0", "0.00001", "nan", "inf", "1e9"] {
            let sentence = refusal(&format!("[limits]\n{key} = {wrong}\n"), &env(REQUIRED));
            assert!(
                sentence.contains(&format!("limits.{key}")) && sentence.contains("US dollars"),
                "{wrong}: {sentence}"
            );
        }
    }
}

#[test]
fn the_fleet_address_is_an_origin_like_the_public_one() {
    let fleet = |url: &str| format!("[server]\nfleet_url = \"{url}\"\n");
    let settings = accepted(&fleet("https://voice.example.com"), &env(REQUIRED));
    let address = settings.server.fleet_url.unwrap();
    assert_eq!(
        address.join("/incoming-call"),
        "https://voice.example.com/incoming-call"
    );
    assert!(accepted("", &env(REQUIRED)).server.fleet_url.is_none());
    for wrong in [
        "http://voice.example.com",
        "https://voice.example.com/x",
        "voice",
    ] {
        let sentence = refusal(&fleet(wrong), &env(REQUIRED));
        assert!(sentence.contains("server.fleet_url"), "{sentence}");
    }
}

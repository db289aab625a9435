//! The configuration as an operator meets it: what is accepted, and the sentence for everything that is not.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use switchboard::settings::{
    Greeting, LogFormat, Settings, SettingsError, Silence, Store, StreamSignature, ToolKind,
    ToolRef, Trust, TurnDetection, Voice, keys,
};

type Map = BTreeMap<String, String>;

fn env(pairs: &[(&str, &str)]) -> Map {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

const REQUIRED: &[(&str, &str)] = &[
    ("SWITCHBOARD_PUBLIC_URL", "https://voice.example.com"),
    ("SWITCHBOARD_ADMIN_TOKEN", "canary-admin-token-1"),
    ("TWILIO_AUTH_TOKEN", "canary-auth-token"),
    ("OPENAI_API_KEY", "canary-openai-key"),
];

/// The required variables with some changed; an empty text unsets one.
fn with(changes: &[(&str, &str)]) -> Map {
    let mut map = env(REQUIRED);
    map.extend(env(changes));
    map
}

fn dev() -> Map {
    env(&[
        ("SWITCHBOARD_DEV", "1"),
        ("SWITCHBOARD_LISTEN", "127.0.0.1:0"),
        ("SWITCHBOARD_ADMIN_LISTEN", "127.0.0.1:0"),
        ("OPENAI_REALTIME_URL", "ws://127.0.0.1:9999/v1/realtime"),
    ])
}

fn read(toml: &str, env: &Map) -> Result<Settings, SettingsError> {
    Settings::from_toml(toml, Path::new("spa/switchboard.toml"), env)
}

fn accepted(toml: &str, env: &Map) -> Settings {
    match read(toml, env) {
        Ok(settings) => settings,
        Err(error) => panic!("refused: {error}"),
    }
}

/// The sentence for a refused configuration. Every one must be a single line that never carries a secret.
fn refusal(toml: &str, env: &Map) -> String {
    let Err(error) = read(toml, env) else {
        panic!("accepted: {toml}")
    };
    let sentence = error.to_string();
    assert!(!sentence.contains('\n'), "{sentence}");
    assert!(!sentence.contains("canary"), "{sentence}");
    sentence
}

fn agent(lines: &str) -> String {
    format!("[agents.spa]\ninstructions = \"You answer.\"\n{lines}\n")
}

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
    let Trust::Verified { auth_token, .. } = &settings.server.trust else {
        panic!("dev")
    };
    use secrecy::ExposeSecret as _;
    assert_eq!(auth_token.expose_secret(), "canary-from-a-file");

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
fn dev_still_needs_a_key_for_a_model_elsewhere() {
    let mut map = dev();
    map.remove("OPENAI_REALTIME_URL");
    assert!(refusal("", &map).contains("OPENAI_API_KEY"));
    // Outside dev an emulated model needs one too, but any text will do.
    let emulated = ("OPENAI_REALTIME_URL", "ws://localhost:9/v1/realtime");
    assert!(refusal("", &with(&[emulated, ("OPENAI_API_KEY", "")])).contains("OPENAI_API_KEY"));
    accepted("", &with(&[emulated, ("OPENAI_API_KEY", "x")]));
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
fn a_full_agent_reads_as_written() {
    let settings = accepted(
        r##"
        default_agent = "spa"
        [agents.spa]
        numbers = ["+15550100"]
        instructions = "You answer the phone of a spa."
        voice = "cedar"
        language = "pt-BR"
        greeting = { mode = "wait" }
        tools = ["crm_lookup", "end_call", "transfer_call"]
        turn_detection = { type = "server_vad", threshold = 0.6, silence_duration_ms = 700, idle_timeout_ms = 8000, interrupt_response = false }
        transcription = { model = "gpt-transcribe", language = "pt" }
        model = { name = "gpt-realtime-2.1", reasoning = "low", max_output_tokens = 1200, noise_reduction = "near_field" }
        keys = { "0" = "front_desk", "#" = "front_desk" }
        mask_digits = false
        max_call_seconds = 900
        fallback = { dial = "+15550188" }
        [agents.night]
        instructions = "You answer at night."
        numbers = ["+1 555 0101"]
        voice = { id = "voice_abc123" }
        turn_detection = { type = "semantic_vad", eagerness = "high" }
        transcription = { model = "none" }
        silence = { after_ms = 8000, text = "Still there?", attempts = 3 }
        [tools.crm_lookup]
        kind = "http"
        description = "Finds a customer by phone number."
        url = "https://crm.example.com/tools/lookup"
        timeout_ms = 4000
        secret = "canary-tool"
        parameters = { type = "object", properties = { phone = { type = "string" } }, required = ["phone"] }
        [fallback]
        say = "Sorry."
        [transfer.targets]
        front_desk = "+15550199"
        "##,
        &env(REQUIRED),
    );
    let (name, spa) = settings.agent_for("+15550100");
    assert_eq!(name, "spa");
    assert_eq!(spa.language, "pt-BR");
    assert_eq!(spa.greeting, Greeting::Wait);
    assert_eq!(spa.tools[0], ToolRef::Configured("crm_lookup".into()));
    assert_eq!(
        spa.turn_detection,
        TurnDetection::ServerVad {
            threshold: 0.6,
            prefix_padding_ms: 300,
            silence_duration_ms: 700,
            idle_timeout_ms: Some(8000),
            create_response: true,
            interrupt_response: false,
        }
    );
    assert_eq!(
        spa.transcription
            .as_ref()
            .map(|transcription| transcription.language.as_str()),
        Some("pt")
    );
    assert_eq!(
        spa.model.reasoning.map(|effort| effort.as_str()),
        Some("low")
    );
    assert_eq!(spa.model.max_output_tokens, Some(1200));
    assert_eq!(spa.keys.get(&'#').map(String::as_str), Some("front_desk"));
    assert_eq!(spa.max_call, Duration::from_secs(900));
    assert_eq!(spa.fallback.say, "Sorry.");
    assert_eq!(
        spa.fallback.dial.as_ref().map(|number| number.as_str()),
        Some("+15550188")
    );
    assert!(!spa.mask_digits);

    let (name, night) = settings.agent_for("+15550101");
    assert_eq!(name, "night");
    assert_eq!(night.voice, Voice::Custom("voice_abc123".into()));
    assert!(night.transcription.is_none());
    assert_eq!(
        night.silence,
        Some(Silence {
            after: Duration::from_secs(8),
            text: "Still there?".into(),
            attempts: 3
        })
    );
    assert_eq!(settings.agent_for("+15559999").0, "spa");

    let tool = &settings.tools["crm_lookup"];
    let ToolKind::Http { parameters } = &tool.kind else {
        panic!("not http")
    };
    assert_eq!(parameters["required"][0], "phone");
    assert_eq!(tool.timeout, Duration::from_secs(4));
    assert!(!tool.effects && !tool.allow_private);
}

#[test]
fn agents_are_refused_for_what_they_get_wrong() {
    for (lines, expected) in [
        (
            "numbers = [\"15550100\"]",
            "agents.spa.numbers is not a phone number",
        ),
        ("voice = \"nova\"", "agents.spa.voice is \"nova\""),
        ("voice = \"marine\"", "did you mean marin?"),
        ("voice = { id = \"nova\" }", "agents.spa.voice.id"),
        ("language = \"english!\"", "agents.spa.language"),
        (
            "greeting = { mode = \"shout\" }",
            "agents.spa.greeting.mode",
        ),
        (
            "greeting = { mode = \"wait\", text = \"hi\" }",
            "agents.spa.greeting.text",
        ),
        (
            "greeting = { mode = \"clip\" }",
            "agents.spa.greeting.clip is missing",
        ),
        (
            "greeting = { mode = \"clip\", clip = \"absent.wav\" }",
            "spa/absent.wav",
        ),
        ("tools = [\"crm\"]", "agents.spa.tools names \"crm\""),
        ("tools = [\"endcall\"]", "did you mean end_call?"),
        (
            "tools = [\"end_call\", \"end_call\"]",
            "names end_call twice",
        ),
        ("tools = [\"transfer_call\"]", "[transfer.targets]"),
        (
            "turn_detection = { type = \"none\" }",
            "agents.spa.turn_detection.type",
        ),
        (
            "turn_detection = { threshold = 1.5 }",
            "agents.spa.turn_detection.threshold is 1.5",
        ),
        (
            "turn_detection = { threshold = nan }",
            "agents.spa.turn_detection.threshold is NaN",
        ),
        (
            "turn_detection = { idle_timeout_ms = 4999 }",
            "agents.spa.turn_detection.idle_timeout_ms is 4999",
        ),
        (
            "turn_detection = { idle_timeout_ms = 30001 }",
            "5000 to 30000",
        ),
        (
            "turn_detection = { eagerness = \"low\" }",
            "server_vad does not have it",
        ),
        (
            "turn_detection = { type = \"semantic_vad\", threshold = 0.5 }",
            "semantic_vad does not have it",
        ),
        (
            "turn_detection = { type = \"semantic_vad\", eagerness = \"lo\" }",
            "did you mean low?",
        ),
        (
            "transcription = { model = \"gpt-live-transcribe\" }",
            "cannot follow the turns",
        ),
        (
            "model = { max_output_tokens = 4097 }",
            "agents.spa.model.max_output_tokens is 4097",
        ),
        (
            "model = { reasoning = \"none\" }",
            "agents.spa.model.reasoning",
        ),
        (
            "model = { name = \"gpt-realtime-1.5\", reasoning = \"low\" }",
            "the model gpt-realtime-1.5 does not have it",
        ),
        (
            "model = { name = \"gpt-realtime-2025-08-28\", reasoning = \"low\" }",
            "agents.spa.model.reasoning",
        ),
        (
            "model = { noise_reduction = \"far\" }",
            "agents.spa.model.noise_reduction",
        ),
        (
            "keys = { \"10\" = \"front_desk\" }",
            "not on a phone's keypad",
        ),
        (
            "keys = { \"0\" = \"front_desk\" }",
            "add front_desk under [transfer.targets]",
        ),
        (
            "silence = { attempts = 9 }",
            "agents.spa.silence.attempts is 9",
        ),
        (
            "silence = {}\nturn_detection = { idle_timeout_ms = 8000 }",
            "agents.spa.silence",
        ),
        ("max_call_seconds = 5", "agents.spa.max_call_seconds is 5"),
        (
            "fallback = { dial = \"front desk\" }",
            "agents.spa.fallback.dial",
        ),
        (
            "instructions_file = \"spa.md\"",
            "agents.spa.instructions and instructions_file are both set",
        ),
    ] {
        let sentence = refusal(&agent(lines), &env(REQUIRED));
        assert!(sentence.contains(expected), "{lines}\n  {sentence}");
    }
    assert!(
        refusal("[agents.spa]\n", &env(REQUIRED)).contains("agents.spa.instructions is missing")
    );
    assert!(
        refusal("[agents.\"a b\"]\ninstructions = \"x\"", &env(REQUIRED)).contains("rename it")
    );
}

#[test]
fn two_agents_cannot_claim_one_number() {
    let file = "default_agent = \"a\"\n[agents.a]\ninstructions = \"x\"\nnumbers = [\"+15550100\"]\n\
                [agents.b]\ninstructions = \"y\"\nnumbers = [\"+1 555-0100\"]\n";
    let sentence = refusal(file, &env(REQUIRED));
    assert_eq!(
        sentence,
        "agents.a.numbers and agents.b.numbers both claim +1•••••0100; keep it with one of them"
    );
}

#[test]
fn several_agents_need_a_default() {
    let agents = "[agents.a]\ninstructions = \"x\"\n[agents.b]\ninstructions = \"y\"\n";
    assert!(refusal(agents, &env(REQUIRED)).contains("default_agent is missing"));
    assert!(
        refusal(&format!("default_agent = \"c\"\n{agents}"), &env(REQUIRED))
            .contains("use one of a, b")
    );
    assert_eq!(
        accepted(&format!("default_agent = \"b\"\n{agents}"), &env(REQUIRED))
            .agent_for("+1")
            .0,
        "b"
    );
    assert_eq!(
        accepted(&agent(""), &env(REQUIRED)).default_agent().name,
        "spa"
    );
}

#[test]
fn tools_are_refused_for_what_they_get_wrong() {
    let tool =
        |lines: &str| format!("[tools.crm]\nkind = \"http\"\ndescription = \"Finds.\"\n{lines}\n");
    for (file, expected) in [
        (tool(""), "tools.crm.url is missing"),
        (tool("url = \"ftp://x/\""), "tools.crm.url"),
        (
            tool("url = \"http://crm.example.com/\""),
            "allow_private = true",
        ),
        (tool("url = \"https://127.0.0.1/\""), "allow_private = true"),
        (
            tool("url = \"https://user:canary@crm.example.com/\""),
            "tools.crm.url carries a user name",
        ),
        (
            tool("url = \"https://crm.example.com/\"\ntimeout_ms = 5"),
            "tools.crm.timeout_ms is 5",
        ),
        (
            tool("url = \"https://crm.example.com/\"\nparameters = { type = \"string\" }"),
            "tools.crm.parameters",
        ),
        (
            tool("url = \"https://crm.example.com/\"\nsecret = \"canary\"\nsecret_file = \"x\""),
            "tools.crm.secret and secret_file are both set",
        ),
        (
            tool("url = \"https://crm.example.com/\"\nsecret_file = \"absent\""),
            "tools.crm.secret_file",
        ),
        (
            "[tools.crm]\nkind = \"grpc\"\ndescription = \"x\"".to_owned(),
            "tools.crm.kind is \"grpc\"",
        ),
        (
            "[tools.crm]\nkind = \"http\"".to_owned(),
            "tools.crm.description is missing",
        ),
        (
            "[tools.end_call]\nkind = \"http\"\ndescription = \"x\"".to_owned(),
            "name of a built-in tool",
        ),
        (
            "[transfer.targets]\ndesk = \"100\"".to_owned(),
            "transfer.targets.desk is not a phone number",
        ),
        ("[fallback]\nsay = \"\"".to_owned(), "fallback.say is empty"),
    ] {
        let sentence = refusal(&file, &env(REQUIRED));
        assert!(sentence.contains(expected), "{file}\n  {sentence}");
    }
    accepted(
        &tool("url = \"http://127.0.0.1:9/\"\nallow_private = true"),
        &env(REQUIRED),
    );
}

#[test]
fn models_that_are_gone_are_refused_and_those_that_go_warn() {
    let gone = refusal(
        "",
        &with(&[(
            "OPENAI_REALTIME_MODEL",
            "gpt-4o-realtime-preview-2024-12-17",
        )]),
    );
    assert!(
        gone.contains("OPENAI_REALTIME_MODEL") && gone.contains("use gpt-realtime-2.1"),
        "{gone}"
    );
    let gone = refusal(
        &agent("model = { name = \"gpt-4o-mini-realtime-preview\" }"),
        &env(REQUIRED),
    );
    assert!(
        gone.contains("agents.spa.model.name") && gone.contains("gpt-realtime-2.1-mini"),
        "{gone}"
    );

    let going = accepted(
        &agent(
            "model = { name = \"gpt-realtime-mini\" }\ntranscription = { model = \"whisper-1\" }",
        ),
        &with(&[("OPENAI_REALTIME_MODEL", "gpt-realtime")]),
    );
    let warnings: Vec<String> = going.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("OPENAI_REALTIME_MODEL") && line.contains("2027-01-20"))
    );
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("agents.spa.model.name") && line.contains("2.1-mini"))
    );
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("transcription.model") && line.contains("2027-02-26"))
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
        "{}[data]\nstore = \"redis://user:canary@cache:6379\"\n[transfer.targets]\ndesk = \"+15550199\"\n\
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
        "data.store = redis://user:masked@cache:6379 (file)",
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

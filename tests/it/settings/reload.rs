//! What a reload takes over, and what it only reports.

use switchboard::settings::{Changes, Settings, Trust, keys};

use super::support::{REQUIRED, accepted, agent, dev, env, refusal, with};

fn changed(toml: &str, changes: &[(&str, &str)]) -> Vec<&'static str> {
    let before: Settings = accepted(&agent(""), &env(REQUIRED));
    before.needs_restart(&accepted(toml, &with(changes)))
}

/// A variable, another text for it, and the key that is told.
const RESTART: [(&str, &str, &str); 12] = [
    ("SWITCHBOARD_LISTEN", "127.0.0.1:6060", "server.listen"),
    (
        "SWITCHBOARD_PUBLIC_URL",
        "https://other.example.com",
        "server.public_url",
    ),
    ("SWITCHBOARD_WORKERS", "7", "server.workers"),
    ("SWITCHBOARD_DATA_DIR", "/elsewhere", "data.dir"),
    ("SWITCHBOARD_STORE", "memory", "data.store"),
    ("SWITCHBOARD_ADMIN_LISTEN", "127.0.0.1:6061", "admin.listen"),
    ("SWITCHBOARD_MAX_CALLS", "7", "limits.max_calls"),
    ("SWITCHBOARD_DRAIN_SECONDS", "7", "limits.drain_seconds"),
    (
        "OPENAI_REALTIME_URL",
        "wss://other.example.com/v1/realtime",
        "openai.url",
    ),
    (
        "TWILIO_ACCOUNT_SID",
        "AC00000000000000000000000000000001",
        "twilio.account_sid",
    ),
    (
        "TWILIO_API_URL",
        "https://other.example.com",
        "twilio.api_url",
    ),
    ("RUST_LOG", "debug", "log"),
];

#[test]
fn what_needs_a_restart_is_named_by_its_key() {
    for (variable, text, key) in RESTART {
        assert_eq!(
            changed(&agent(""), &[(variable, text)]),
            [key],
            "{variable}"
        );
    }
    let with_a_key = [
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"),
        ("TWILIO_API_KEY", "SK1"),
        ("TWILIO_API_SECRET", "canary-api-secret"),
    ];
    assert_eq!(changed(&agent(""), &with_a_key), ["twilio.account_sid"]);
}

/// A secret's variable, another text for it, and the key that is told.
const SECRETS: [(&str, &str, &str); 4] = [
    (
        "SWITCHBOARD_ADMIN_TOKEN",
        "canary-admin-token-2",
        "admin.token",
    ),
    ("OPENAI_API_KEY", "canary-other-key", "openai.api_key"),
    (
        "TWILIO_AUTH_TOKEN",
        "canary-other-token",
        "twilio.auth_token",
    ),
    (
        "TWILIO_AUTH_TOKEN_SECONDARY",
        "canary-second-token",
        "twilio.auth_token_secondary",
    ),
];

#[test]
fn secrets_are_renewed_and_nothing_else_is_told_of_them() {
    // With REST credentials: the account is the same, whatever it is asked with.
    let account = ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001");
    let start = accepted(&agent(""), &with(&[account]));
    for (variable, text, key) in SECRETS {
        let next = accepted(&agent(""), &with(&[account, (variable, text)]));
        let changes = start.changes(&start, &next);
        assert_eq!(changes.renewed, [key], "{variable}");
        assert_eq!(changes.needs_restart, [""; 0], "{variable}");
        assert_eq!(start.changes(&next, &next), Changes::default());
    }
    let key = [
        ("TWILIO_API_KEY", "SK1"),
        ("TWILIO_API_SECRET", "canary-api-secret"),
    ];
    let next = accepted(&agent(""), &with(&[&[account][..], &key].concat()));
    assert_eq!(start.changes(&start, &next).renewed, ["twilio.api_key"]);
    let development = accepted(&agent(""), &dev());
    let changes = start.changes(&start, &development);
    assert!(changes.renewed.is_empty() && changes.needs_restart.contains(&"server.dev"));
}

#[test]
fn several_admin_tokens_are_separated_by_blanks() {
    let pair = "canary-admin-token-1 canary-admin-token-2";
    let settings = accepted(&agent(""), &with(&[("SWITCHBOARD_ADMIN_TOKEN", pair)]));
    let Trust::Verified { admin_tokens, .. } = &settings.server.trust else {
        panic!("dev")
    };
    assert_eq!(admin_tokens.iter().count(), 2);
    let short = refusal(
        &agent(""),
        &with(&[("SWITCHBOARD_ADMIN_TOKEN", "canary-admin-token-1 short")]),
    );
    assert!(short.contains("has fewer than 16 characters"), "{short}");
}

#[test]
fn every_key_of_the_table_is_taken_over_or_told() {
    let taken_over = ["limits.max_call_seconds", "openai.model"];
    let renewed = SECRETS.map(|(_, _, key)| key);
    // Told under a neighbour's name, or together with everything that development mode changes.
    let with_others = [
        "server.dev",
        "twilio.api_key",
        "twilio.api_secret",
        "log.format",
    ];
    for key in keys::DEFAULTS {
        let told = RESTART
            .iter()
            .any(|(variable, _, told)| *told == key.key || key.env.contains(variable));
        assert!(
            told || taken_over.contains(&key.key)
                || renewed.contains(&key.key)
                || with_others.contains(&key.key),
            "{}",
            key.key
        );
    }
}

#[test]
fn agents_tools_numbers_fallback_targets_and_models_need_none() {
    let other = "default_agent = \"b\"\n[agents.b]\ninstructions = \"Other.\"\nnumbers = [\"+15550111\"]\n\
                 model = { name = \"gpt-realtime-2.1\" }\ntools = [\"crm\", \"transfer_call\"]\n\
                 [tools.crm]\nkind = \"http\"\ndescription = \"Finds.\"\nurl = \"https://crm.example.com/\"\n\
                 [fallback]\nsay = \"Later.\"\n[transfer.targets]\ndesk = \"+15550122\"\n";
    assert_eq!(
        changed(other, &[("SWITCHBOARD_MAX_CALL_SECONDS", "60")]),
        [""; 0]
    );
}

#[test]
fn a_variable_that_does_not_exist_is_refused_with_the_key() {
    let spa = |text: &str| format!("[agents.spa]\ninstructions = \"{text}\"\n");
    assert_eq!(
        refusal(&spa("It is {{time_of_dya}}."), &env(REQUIRED)),
        "agents.spa.instructions names \"{{time_of_dya}}\", which does not exist; did you mean {{time_of_day}}?"
    );
    accepted(
        &spa("{{ caller }} {{date}} {{time_of_day}} {{opening_hours}} {{agent}}"),
        &env(REQUIRED),
    );
    let folder = std::env::temp_dir().join(format!("switchboard-variables-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("spa.md");
    std::fs::write(&file, "You are {{nobody}}.").unwrap();
    let named = format!("[agents.spa]\ninstructions_file = \"{}\"\n", file.display());
    assert!(
        refusal(&named, &env(REQUIRED))
            .starts_with("agents.spa.instructions_file names \"{{nobody}}\"")
    );
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn a_tool_of_one_s_own_takes_the_place_of_the_book_s() {
    use switchboard::settings::ToolRef;
    let own = "[agents.spa]\ninstructions = \"x\"\ntools = [\"book_appointment\", \"find_times\"]\n\
               [tools.book_appointment]\nkind = \"http\"\ndescription = \"Books.\"\nurl = \"https://crm.example.com/\"\neffects = true\n";
    let settings = accepted(own, &env(REQUIRED));
    assert_eq!(
        settings.default_agent().tools,
        [
            ToolRef::Configured("book_appointment".to_owned()),
            ToolRef::BuiltIn("find_times")
        ]
    );
}

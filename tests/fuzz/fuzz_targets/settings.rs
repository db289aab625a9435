//! Any file is settings or refused with a reason in one line; the summary for the log holds no secret.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use switchboard::settings::Settings;

const SECRETS: [(&str, &str); 3] = [
    ("OPENAI_API_KEY", "canary-of-the-model"),
    ("TWILIO_AUTH_TOKEN", "canary-of-the-phone"),
    ("SWITCHBOARD_ADMIN_TOKEN", "canary-of-the-desk"),
];

fuzz_target!(|text: &str| {
    let mut env: BTreeMap<String, String> = SECRETS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    env.insert(
        "SWITCHBOARD_PUBLIC_URL".to_owned(),
        "https://voice.example.com".to_owned(),
    );
    match Settings::from_toml(text, Path::new("switchboard.toml"), &env) {
        Ok(settings) => {
            let summary = settings.masked_summary();
            assert!(!summary.contains("canary"), "{summary}");
        }
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
});

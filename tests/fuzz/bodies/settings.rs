//! Any file is settings or refused with a reason in one line; the summary for the log holds no secret.
use std::collections::BTreeMap;
use std::path::Path;

use switchboard::settings::Settings;

const SECRETS: [(&str, &str); 3] = [
    ("OPENAI_API_KEY", "canary-of-the-model"),
    ("TWILIO_AUTH_TOKEN", "canary-of-the-phone"),
    ("SWITCHBOARD_ADMIN_TOKEN", "canary-of-the-desk"),
];

/// What the target does with an input.
pub(crate) fn run(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
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
}

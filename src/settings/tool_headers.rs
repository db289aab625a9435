//! Headers an `http` or `mcp` tool is sent: names that are not the service's own, values that are secrets.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::env::secret_file;
use super::error::SettingsError;
use super::file;

/// Written by the service itself, or by HTTP.
const OWN: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "transfer-encoding",
    "upgrade",
    "x-switchboard-signature",
];

/// Reads `tools.NAME.headers`.
pub(super) fn read(
    key: &str,
    given: &file::Headers,
    folder: &Path,
) -> Result<Vec<(String, SecretString)>, SettingsError> {
    let mut headers = Vec::new();
    for (name, value) in given {
        let key = format!("{key}.{name}");
        // RFC 9110, section 5.6.2: what a token is made of.
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(token) {
            return Err(SettingsError::invalid(
                key,
                "is not the name of a header",
                "use letters, digits and -",
            ));
        }
        if OWN.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(SettingsError::invalid(
                key,
                "is written by the service itself",
                "remove it",
            ));
        }
        let value = match value {
            file::HeaderValue::Text(text) => text.clone(),
            file::HeaderValue::File(named) => secret_file(&key, &folder.join(&named.file))?,
        };
        let fits = |byte: u8| (b' '..=b'~').contains(&byte) || byte == b'\t';
        if !value.expose_secret().bytes().all(fits) {
            return Err(SettingsError::invalid(
                key,
                "has characters that cannot stand in a header",
                "use plain ASCII",
            ));
        }
        headers.push((name.clone(), value));
    }
    Ok(headers)
}

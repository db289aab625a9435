//! The rules of Twilio's REST API and of stream checks.

use secrecy::ExposeSecret as _;
use url::Url;

use super::secret;
use crate::settings::error::SettingsError;
use crate::settings::inputs::{Given, Inputs};
use crate::settings::keys;
use crate::settings::problems::Problems;
use crate::settings::types::is_loopback;
use crate::settings::{RestCredentials, RestLogin, StreamSignature, Twilio};

pub(super) fn twilio(inputs: &Inputs, problems: &mut Problems) -> Option<Twilio> {
    let api_url = inputs.required(&keys::TWILIO_API_URL).and_then(api_url);
    let api_url = problems.keep(api_url);
    let stream_signature = match inputs.file.twilio.stream_signature.as_deref() {
        None | Some("require") => Ok(StreamSignature::Require),
        Some("log") => Ok(StreamSignature::Log),
        Some("off") => Ok(StreamSignature::Off),
        Some(other) => Err(SettingsError::invalid(
            "twilio.stream_signature",
            format!("is {other:?}"),
            "use require, log or off",
        )),
    };
    let stream_signature = problems.keep(stream_signature);
    let rest = problems.keep(rest_credentials(inputs));
    Some(Twilio {
        api_url: api_url?,
        rest: rest?,
        stream_signature: stream_signature?,
    })
}

fn api_url(given: &Given) -> Result<Url, SettingsError> {
    let hint = "write it like https://api.twilio.com";
    let invalid = |problem: &str| SettingsError::invalid(given.name(), problem, hint);
    let url =
        Url::parse(&given.text).map_err(|error| invalid(&format!("is not a URL ({error})")))?;
    let scheme_fits = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    if url.host().is_none() || !scheme_fits {
        return Err(invalid(
            "is not an https:// address (http:// is for loopback only)",
        ));
    }
    if !url.username().is_empty() || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("carries a user name, a query or a fragment"));
    }
    Ok(url)
}

fn rest_credentials(inputs: &Inputs) -> Result<Option<RestCredentials>, SettingsError> {
    let api_key = secret(inputs.secret(&keys::TWILIO_API_KEY))?;
    let api_secret = secret(inputs.secret(&keys::TWILIO_API_SECRET))?;
    let api_login = match (api_key, api_secret) {
        (Some(key), Some(secret)) => {
            if !key.expose_secret().starts_with("SK") {
                return Err(SettingsError::invalid(
                    keys::TWILIO_API_KEY.name(),
                    "does not begin with SK",
                    "use the SID of an API key",
                ));
            }
            Some(RestLogin::ApiKey { key, secret })
        }
        (Some(_), None) => {
            return Err(SettingsError::missing(
                keys::TWILIO_API_SECRET.name(),
                format!("set it too, since {} is set", keys::TWILIO_API_KEY.name()),
            ));
        }
        (None, Some(_)) => {
            return Err(SettingsError::missing(
                keys::TWILIO_API_KEY.name(),
                format!(
                    "set it too, since {} is set",
                    keys::TWILIO_API_SECRET.name()
                ),
            ));
        }
        (None, None) => None,
    };
    let Some(given) = inputs.given(&keys::TWILIO_ACCOUNT_SID) else {
        if api_login.is_some() {
            return Err(SettingsError::missing(
                keys::TWILIO_ACCOUNT_SID.name(),
                "set it too: it is part of every REST path",
            ));
        }
        return Ok(None);
    };
    let hex = given.text.strip_prefix("AC").unwrap_or_default();
    if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(SettingsError::invalid(
            given.name(),
            "is not an account SID",
            "copy it from the Twilio console: AC and 32 hexadecimal digits",
        ));
    }
    let login = match api_login {
        Some(login) => Some(login),
        None => secret(inputs.secret(&keys::TWILIO_AUTH_TOKEN))?.map(RestLogin::AuthToken),
    };
    Ok(login.map(|login| RestCredentials {
        account_sid: given.text.clone(),
        login,
    }))
}

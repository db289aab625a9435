//! The rules of the model's server.

use secrecy::SecretString;
use url::Url;

use super::{secret, secret_of};
use crate::settings::error::SettingsError;
use crate::settings::inputs::{Given, Inputs};
use crate::settings::keys;
use crate::settings::model_rules::{check_standing, model_name};
use crate::settings::problems::Problems;
use crate::settings::types::is_loopback;
use crate::settings::{DialAt, OpenAi, Warning};
use call_protocol::model::openai::models;

pub(super) fn openai(
    inputs: &Inputs,
    dev: bool,
    warnings: &mut Vec<Warning>,
    problems: &mut Problems,
) -> Option<OpenAi> {
    let url = inputs.required(&keys::OPENAI_URL).and_then(model_url);
    let url = problems.keep(url);
    let model = problems.keep(usual_model(inputs, warnings));
    let api_key = url
        .as_ref()
        .and_then(|url| problems.keep(api_key(inputs, dev, url)));
    let dial = match inputs.file.openai.dial.as_deref() {
        None | Some("socket") => Ok(DialAt::Socket),
        Some("webhook") => Ok(DialAt::Webhook),
        Some(other) => Err(SettingsError::invalid(
            "openai.dial",
            format!("is {other:?}"),
            "use socket or webhook",
        )),
    };
    let dial = problems.keep(dial);
    Some(OpenAi {
        api_key: api_key?,
        url: url?,
        model: model?,
        dial: dial?,
    })
}

fn usual_model(inputs: &Inputs, warnings: &mut Vec<Warning>) -> Result<String, SettingsError> {
    let given = inputs.required(&keys::OPENAI_MODEL)?;
    let model = model_name(&given.name(), &given.text)?;
    check_standing(&given.name(), &model, models::realtime(&model), warnings)?;
    Ok(model)
}

fn api_key(inputs: &Inputs, dev: bool, url: &Url) -> Result<SecretString, SettingsError> {
    let is_openai = url
        .host_str()
        .is_some_and(|host| host == "openai.com" || host.ends_with(".openai.com"));
    let given = if is_openai {
        secret(inputs.secret(&keys::OPENAI_API_KEY))?
    } else {
        // Compatible servers have keys of their own making.
        secret_of(inputs.secret(&keys::OPENAI_API_KEY), |byte| {
            byte.is_ascii_graphic() || byte == b' '
        })?
    };
    match given {
        Some(api_key) => Ok(api_key),
        // An emulated model asks for no key.
        None if dev && is_loopback(url) => Ok("dev".to_owned().into()),
        None => Err(SettingsError::missing(
            keys::OPENAI_API_KEY.name(),
            "set it to the key of the model's server",
        )),
    }
}

fn model_url(given: &Given) -> Result<Url, SettingsError> {
    let hint = "write it like wss://api.openai.com/v1/realtime";
    let invalid = |problem: &str| SettingsError::invalid(given.name(), problem, hint);
    let url =
        Url::parse(&given.text).map_err(|error| invalid(&format!("is not a URL ({error})")))?;
    if url.host().is_none() {
        return Err(invalid("has no host"));
    }
    match url.scheme() {
        "wss" => {}
        "ws" if is_loopback(&url) => {}
        "ws" => {
            return Err(invalid(
                "is ws:// to another machine, which would send the key and the call in clear",
            ));
        }
        _ => return Err(invalid("is not a WebSocket address")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("carries a user name or password"));
    }
    if url.fragment().is_some() {
        return Err(invalid("carries a fragment"));
    }
    if url.query_pairs().any(|(name, _)| name == "model") {
        return Err(SettingsError::invalid(
            given.name(),
            "names a model",
            format!("remove it there and set {}", keys::OPENAI_MODEL.name()),
        ));
    }
    Ok(url)
}

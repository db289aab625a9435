//! The rules of the listeners, and of whom the service believes.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use secrecy::{ExposeSecret as _, SecretString};

use super::{secret, secret_of};
use crate::settings::error::SettingsError;
use crate::settings::inputs::{Given, Inputs};
use crate::settings::keys::{self, Key};
use crate::settings::problems::Problems;
use crate::settings::types::PublicUrl;
use crate::settings::{Secrets, Trust, read};

/// Shorter tokens can be guessed.
const MIN_ADMIN_TOKEN_CHARS: usize = 16;

/// Different characters of a token. A random one of sixteen hexadecimal digits has fewer once in seven million times.
const MIN_ADMIN_TOKEN_KINDS: usize = 5;

pub(super) fn listener(given: &Given) -> Result<SocketAddr, SettingsError> {
    given.text.parse().map_err(|_| {
        SettingsError::invalid(
            given.name(),
            format!("is {:?}, not an address with a port", given.text),
            "write it like 127.0.0.1:5050",
        )
    })
}

pub(super) fn public_listener(inputs: &Inputs) -> Result<SocketAddr, SettingsError> {
    let mut listen = listener(inputs.required(&keys::LISTEN)?)?;
    if let Some(port) = &inputs.port {
        listen.set_port(read::number_in(port, 0, u16::MAX)?);
    }
    Ok(listen)
}

pub(super) fn fleet_url(inputs: &Inputs, dev: bool) -> Result<Option<PublicUrl>, SettingsError> {
    let Some(text) = inputs.file.server.fleet_url.as_deref() else {
        return Ok(None);
    };
    PublicUrl::parse(text, dev)
        .map(Some)
        .map_err(|(problem, hint)| SettingsError::invalid("server.fleet_url", problem, hint))
}

pub(super) fn trust(
    inputs: &Inputs,
    dev: bool,
    (listen, admin_listen): (Option<SocketAddr>, Option<SocketAddr>),
    problems: &mut Problems,
) -> Option<Trust> {
    let parse = |given: &Given| {
        PublicUrl::parse(&given.text, dev)
            .map_err(|(problem, hint)| SettingsError::invalid(given.name(), problem, hint))
    };
    let given_url = inputs.given(&keys::PUBLIC_URL);
    let public_url = given_url.and_then(|given| problems.keep(parse(given)));
    if dev {
        for (key, address) in [(keys::LISTEN, listen?), (keys::ADMIN_LISTEN, admin_listen?)] {
            if !address.ip().is_loopback() {
                problems.add(SettingsError::DevNotOnLoopback {
                    key: keys::DEV.name(),
                    listener: key.name(),
                    address: address.to_string(),
                });
            }
        }
        return Some(Trust::Dev { public_url });
    }
    let dev_hint = "or set SWITCHBOARD_DEV=1 on loopback";
    if given_url.is_none() {
        problems.add(SettingsError::missing(
            keys::PUBLIC_URL.name(),
            format!("set it to the https:// address Twilio reaches, {dev_hint}"),
        ));
    }
    let missing = |key: &Key, hint: String| SettingsError::missing(key.name(), hint);
    let auth_token = secret(inputs.secret(&keys::TWILIO_AUTH_TOKEN)).and_then(|token| {
        let hint =
            format!("set it to the account's auth token, which verifies webhooks, {dev_hint}");
        token.ok_or_else(|| missing(&keys::TWILIO_AUTH_TOKEN, hint))
    });
    let auth_token = problems.keep(auth_token);
    let secondary = problems.keep(secret(inputs.secret(&keys::TWILIO_AUTH_TOKEN_SECONDARY)));
    let admin_tokens = admin_tokens(inputs).and_then(|tokens| {
        let hint = format!(
            "set it to a random text of at least {MIN_ADMIN_TOKEN_CHARS} characters, {dev_hint}"
        );
        tokens.ok_or_else(|| missing(&keys::ADMIN_TOKEN, hint))
    });
    let admin_tokens = problems.keep(admin_tokens);
    Some(Trust::Verified {
        public_url: public_url?,
        auth_tokens: Secrets::new(auth_token?, Vec::from_iter(secondary?)),
        admin_tokens: admin_tokens?,
    })
}

/// The operator's tokens, separated by blanks.
fn admin_tokens(inputs: &Inputs) -> Result<Option<Secrets>, SettingsError> {
    let fits = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let Some(given) = secret_of(inputs.secret(&keys::ADMIN_TOKEN), fits)? else {
        return Ok(None);
    };
    let tokens = given.expose_secret().split_ascii_whitespace();
    let mut tokens = tokens.map(admin_token).collect::<Result<Vec<_>, _>>()?;
    let first = tokens.remove(0);
    Ok(Some(Secrets::new(first, tokens)))
}

fn admin_token(text: &str) -> Result<SecretString, SettingsError> {
    if text.chars().count() < MIN_ADMIN_TOKEN_CHARS {
        return Err(SettingsError::invalid(
            keys::ADMIN_TOKEN.name(),
            format!("has fewer than {MIN_ADMIN_TOKEN_CHARS} characters"),
            "use a longer random text",
        ));
    }
    if is_repetition(text) {
        return Err(SettingsError::invalid(
            keys::ADMIN_TOKEN.name(),
            "repeats the same few characters",
            "use a random text, such as `openssl rand -hex 32` gives",
        ));
    }
    Ok(text.to_owned().into())
}

/// Whether a token has fewer different characters than any random one of its length: it was typed to fill the field.
fn is_repetition(token: &str) -> bool {
    token.chars().collect::<BTreeSet<char>>().len() < MIN_ADMIN_TOKEN_KINDS
}

pub(super) fn workers(given: Option<&Given>) -> Result<usize, SettingsError> {
    match given {
        Some(given) => read::number_in(given, 1, 256),
        None => Ok(std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(256)),
    }
}

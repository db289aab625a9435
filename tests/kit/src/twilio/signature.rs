//! The signature Twilio puts on everything it sends.
//!
//! Source: <https://www.twilio.com/docs/usage/webhooks/webhooks-security>. Written apart from the service's own check,
//! so that a shared mistake cannot hide.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// The header that carries the signature, spelt as on webhooks; media sockets send it in lower case.
pub const SIGNATURE_HEADER: &str = "X-Twilio-Signature";

/// The value of [`SIGNATURE_HEADER`]: base64 of HMAC-SHA1 of the [`string_to_sign`] under the Auth Token.
///
/// `params` are the decoded fields of a form POST; none for a GET and for the upgrade of a media socket.
#[must_use]
pub fn sign<K, V>(auth_token: &str, url: &str, params: &[(K, V)]) -> String
where
    K: AsRef<str>,
    V: AsRef<str>,
{
    // HMAC takes a key of any length; the error type is there for other algorithms.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()) else {
        return String::new();
    };
    mac.update(string_to_sign(url, params).as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The URL, then every distinct name in code point order followed by each of its distinct values, sorted.
#[must_use]
pub fn string_to_sign<K, V>(url: &str, params: &[(K, V)]) -> String
where
    K: AsRef<str>,
    V: AsRef<str>,
{
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in params {
        sorted
            .entry(name.as_ref())
            .or_default()
            .insert(value.as_ref());
    }
    let mut text = url.to_owned();
    for (name, values) in sorted {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    text
}

/// `url` as Twilio signs it: byte for byte, without fragment and credentials, and over HTTPS without the port.
///
/// Plain HTTP keeps its port, and a media socket is signed exactly as its `<Stream url>` is written.
#[must_use]
pub fn url_as_signed(url: &str) -> String {
    let url = url.split_once('#').map_or(url, |(before, _)| before);
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let mut host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    if scheme.eq_ignore_ascii_case("https") {
        host = without_port(host);
    }
    format!("{scheme}://{host}{path}")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_url_keeps_what_was_requested() {
        let cases = [
            ("https://h.example/a?b=%20c", "https://h.example/a?b=%20c"),
            ("https://h.example/a#rc=2&rp=ct", "https://h.example/a"),
            ("https://user:pw@h.example/a", "https://h.example/a"),
            ("https://h.example:8443/a", "https://h.example/a"),
            ("https://[::1]:8443/a", "https://[::1]/a"),
            ("https://[::1]/a", "https://[::1]/a"),
            ("http://127.0.0.1:5050/a", "http://127.0.0.1:5050/a"),
            ("wss://h.example:8443/m", "wss://h.example:8443/m"),
            ("https://h.example", "https://h.example"),
        ];
        for (given, signed) in cases {
            assert_eq!(url_as_signed(given), signed);
        }
    }
}

//! Twilio's request signatures (twilio.com/docs/usage/webhooks/webhooks-security).
//!
//! The signed text is the URL as Twilio requested it, then for form posts every decoded parameter, sorted. The URL is
//! built from the configured public address and the raw request target, never from `Host` or forwarding headers.
//! Verdicts are those of Twilio's own Python library (`RequestValidator` 9.13), the port quirk included.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac as _};
use secrecy::ExposeSecret as _;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::settings::Secrets;

/// Header with the signature; names compare without case.
pub const SIGNATURE_HEADER: &str = "X-Twilio-Signature";

/// The hash under the signature. Auth tokens sign with SHA-1; shared keys
/// (twilio.com/docs/usage/webhooks/webhook-shared-keys) with the one they were made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `HMAC_SHA1`, 28 characters.
    HmacSha1,
    /// `HMAC_SHA256`, 44 characters.
    HmacSha256,
}

/// What of a request is signed besides its URL.
#[derive(Debug, Clone, Copy)]
pub enum Signed<'a> {
    /// Nothing: GET requests and WebSocket upgrades.
    UrlOnly,
    /// The decoded pairs of a form post, as many as came and in any order.
    Form(&'a [(String, String)]),
    /// A body that is no form (JSON): its hash must stand in the query as `bodySHA256`.
    Body(&'a [u8]),
}

/// The signature of a URL and its form pairs: HMAC of URL, then name and value of each pair, in standard base64.
///
/// Names are sorted by code point; of a repeated name each distinct value counts once, in order.
pub fn sign(algorithm: Algorithm, key: &[u8], url: &str, pairs: &[(String, String)]) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in pairs {
        sorted.entry(name).or_default().insert(value);
    }
    let mut text = String::from(url);
    for (name, values) in sorted {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    STANDARD.encode(hmac_of(algorithm, key, text.as_bytes()))
}

/// Whether `signature` is Twilio's for this request.
///
/// Tried are the URL as it is, without its port and with the scheme's usual port: Twilio signs with or without it
/// (twilio/twilio-python issues 392 and 402). Every form is computed before any is believed, so the time tells nothing.
pub fn is_valid(
    algorithm: Algorithm,
    key: &[u8],
    url: &str,
    signed: Signed<'_>,
    signature: &str,
) -> bool {
    bool::from(validity(algorithm, key, url, signed, signature))
}

/// Whether `signature` is Twilio's under one of several keys and for one of several spellings of the URL. All are tried
/// before any is believed.
pub fn is_valid_for_any(
    algorithm: Algorithm,
    keys: &[&[u8]],
    urls: &[String],
    signed: Signed<'_>,
    signature: &str,
) -> bool {
    let mut found = subtle::Choice::from(0);
    for key in keys {
        for url in urls {
            found |= validity(algorithm, key, url, signed, signature);
        }
    }
    bool::from(found)
}

/// Whether Twilio signed a request, under one of the account's auth tokens, to one of the spellings of its URL.
pub(crate) fn is_signed(
    tokens: &Secrets,
    urls: &[String],
    signed: Signed<'_>,
    signature: &str,
) -> bool {
    let keys: Vec<&[u8]> = tokens
        .iter()
        .map(|token| token.expose_secret().as_bytes())
        .collect();
    is_valid_for_any(Algorithm::HmacSha1, &keys, urls, signed, signature)
}

fn validity(
    algorithm: Algorithm,
    key: &[u8],
    url: &str,
    signed: Signed<'_>,
    signature: &str,
) -> subtle::Choice {
    let (pairs, body_fits): (&[(String, String)], bool) = match signed {
        Signed::UrlOnly => (&[], true),
        Signed::Form(pairs) => (pairs, true),
        Signed::Body(body) => (&[], body_hash_fits(url, body)),
    };
    let mut found = subtle::Choice::from(0);
    for form in [Some(url.to_owned()), without_port(url), with_port(url)]
        .into_iter()
        .flatten()
    {
        let expected = sign(algorithm, key, &form, pairs);
        found |= expected.as_bytes().ct_eq(signature.as_bytes());
    }
    found & subtle::Choice::from(u8::from(body_fits))
}

fn hmac_of(algorithm: Algorithm, key: &[u8], text: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::HmacSha1 => {
            let mut mac = keyed::<Hmac<Sha1>>(key);
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }
        Algorithm::HmacSha256 => {
            let mut mac = keyed::<Hmac<Sha256>>(key);
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }
    }
}

fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("HMAC takes keys of every length (RFC 2104)")
}

fn body_hash_fits(url: &str, body: &[u8]) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let Some((_, given)) =
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "bodySHA256")
    else {
        return false;
    };
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(body) {
        hash.push(char::from(HEX[usize::from(byte >> 4)]));
        hash.push(char::from(HEX[usize::from(byte & 15)]));
    }
    bool::from(hash.as_bytes().ct_eq(given.as_bytes()))
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The URL with its host's port taken off; `None` when it has none. Text work: parsing and printing would re-encode.
fn without_port(url: &str) -> Option<String> {
    let (before, authority, after) = split(url)?;
    let (host, port) = split_port(authority)?;
    port.is_some().then(|| format!("{before}{host}{after}"))
}

/// The URL with the usual port put on; `None` when it has one. As Twilio's libraries do, everything but `https` gets
/// 80, even `wss`: a media URL signed with `:443` must be configured with it.
fn with_port(url: &str) -> Option<String> {
    let (before, authority, after) = split(url)?;
    let (host, port) = split_port(authority)?;
    let usual = if before == "https://" { 443 } else { 80 };
    port.is_none()
        .then(|| format!("{before}{host}:{usual}{after}"))
}

/// `scheme://`, the authority, and the rest.
fn split(url: &str) -> Option<(&str, &str, &str)> {
    let start = url.find("://")? + 3;
    let length = url[start..]
        .find(['/', '?', '#'])
        .unwrap_or(url.len() - start);
    Some((
        &url[..start],
        &url[start..start + length],
        &url[start + length..],
    ))
}

/// Host and port of an authority; an IPv6 host keeps its brackets.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let after_bracket = authority.rfind(']').map_or(0, |place| place + 1);
    match authority[after_bracket..].rfind(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(after_bracket + colon);
            Some((host, Some(&port[1..])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_taken_off_and_put_on_as_text() {
        assert_eq!(
            without_port("https://h:8443/a%20b?x=1:2").as_deref(),
            Some("https://h/a%20b?x=1:2")
        );
        assert_eq!(without_port("https://h/a:1"), None);
        assert_eq!(with_port("https://h").as_deref(), Some("https://h:443"));
        assert_eq!(with_port("wss://h/m").as_deref(), Some("wss://h:80/m"));
        assert_eq!(
            with_port("https://[::1]/m").as_deref(),
            Some("https://[::1]:443/m")
        );
        assert_eq!(
            without_port("https://[::1]:443/m").as_deref(),
            Some("https://[::1]/m")
        );
        assert_eq!(with_port("https://h:443/m"), None);
        assert_eq!(with_port("no url"), None);
    }

    #[test]
    fn a_body_without_its_hash_in_the_query_is_not_signed() {
        let url = "https://voice.example.com/json?foo=1";
        let signature = sign(Algorithm::HmacSha1, b"12345", url, &[]);
        assert!(is_valid(
            Algorithm::HmacSha1,
            b"12345",
            url,
            Signed::UrlOnly,
            &signature
        ));
        assert!(!is_valid(
            Algorithm::HmacSha1,
            b"12345",
            url,
            Signed::Body(b"{}"),
            &signature
        ));
    }

    #[test]
    fn an_empty_or_cut_signature_is_refused() {
        let url = "https://voice.example.com/x";
        let signature = sign(Algorithm::HmacSha1, b"12345", url, &[]);
        for wrong in [
            "",
            &signature[..27],
            &format!("{signature}="),
            &signature.to_lowercase(),
        ] {
            assert!(
                !is_valid(Algorithm::HmacSha1, b"12345", url, Signed::UrlOnly, wrong),
                "{wrong}"
            );
        }
    }
}

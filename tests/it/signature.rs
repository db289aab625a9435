//! Twilio's signatures against vectors made with Twilio's own validator (PyPI `twilio` 9.13.0).

use serde_json::Value;
use switchboard::phone::twilio::signature::{Algorithm, Signed, is_valid, sign};

fn vectors() -> Vec<Value> {
    let file: Value =
        serde_json::from_str(include_str!("../data/twilio_signature_vectors.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn algorithm(vector: &Value) -> Algorithm {
    match vector["algorithm"].as_str().unwrap() {
        "HMAC_SHA1" => Algorithm::HmacSha1,
        "HMAC_SHA256" => Algorithm::HmacSha256,
        other => panic!("unknown algorithm {other}"),
    }
}

/// Parameters in reverse order, so that sorting is not the file's merit; a list is a name that came several times.
fn pairs(params: &Value) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, value) in params.as_object().into_iter().flatten().rev() {
        match value {
            Value::Array(values) => {
                pairs.extend(
                    values
                        .iter()
                        .map(|value| (name.clone(), value.as_str().unwrap().to_owned())),
                );
            }
            value => pairs.push((name.clone(), value.as_str().unwrap().to_owned())),
        }
    }
    pairs
}

#[test]
fn all_28_vectors_sign_as_the_official_library() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 28);
    for vector in &vectors {
        let key = vector["auth_token"].as_str().unwrap().as_bytes();
        let url = vector["signed_url"].as_str().unwrap();
        let signature = sign(
            algorithm(vector),
            key,
            url,
            &pairs(&vector["signed_params"]),
        );
        assert_eq!(
            signature,
            vector["signature"].as_str().unwrap(),
            "{}",
            vector["id"]
        );
    }
}

#[test]
fn all_28_verdicts_are_those_of_the_official_validator() {
    let mut accepted = 0;
    for vector in &vectors() {
        let token = vector
            .get("validate_token")
            .unwrap_or(&vector["auth_token"])
            .as_str()
            .unwrap();
        let form = pairs(&vector["validate_params"]);
        let signed = match vector["validate_body"].as_str() {
            Some(body) => Signed::Body(body.as_bytes()),
            None if form.is_empty() => Signed::UrlOnly,
            None => Signed::Form(&form),
        };
        let url = vector["validate_url"].as_str().unwrap();
        let signature = vector["signature"].as_str().unwrap();
        let verdict = is_valid(algorithm(vector), token.as_bytes(), url, signed, signature);
        assert_eq!(
            verdict,
            vector["official_validator_result"].as_bool().unwrap(),
            "{}",
            vector["id"]
        );
        accepted += usize::from(verdict);
    }
    assert!(
        (10..28).contains(&accepted),
        "{accepted} accepted: the vectors no longer hold both verdicts"
    );
}

#[test]
fn every_single_change_to_a_signed_request_is_refused() {
    let url = "https://voice.example.com/incoming-call?line=1";
    let form = [("CallSid", "CA1"), ("From", "+15550142"), ("To", "")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let key = b"0123456789abcdef";
    let signature = sign(Algorithm::HmacSha1, key, url, &form);
    let valid = |key: &[u8], url: &str, form: &[(String, String)], signature: &str| {
        is_valid(Algorithm::HmacSha1, key, url, Signed::Form(form), signature)
    };
    assert!(valid(key, url, &form, &signature));

    let mut refused = 0;
    for place in 0..form.len() {
        let mut changed = form.to_vec();
        changed[place].1.push('x');
        refused += usize::from(!valid(key, url, &changed, &signature));
        let mut dropped = form.to_vec();
        dropped.remove(place);
        // A parameter that is empty still signs its name.
        refused += usize::from(!valid(key, url, &dropped, &signature));
    }
    let mut extra = form.to_vec();
    extra.push(("Extra".to_owned(), "1".to_owned()));
    refused += usize::from(!valid(key, url, &extra, &signature));
    for altered in [
        "http://voice.example.com/incoming-call?line=1",
        "https://voice.example.org/incoming-call?line=1",
        "https://voice.example.com/incoming-call/?line=1",
        "https://voice.example.com/incoming-call?line=2",
        "https://voice.example.com/incoming-call?line=%31",
        "https://voice.example.com/incoming-call",
    ] {
        refused += usize::from(!valid(key, altered, &form, &signature));
    }
    refused += usize::from(!valid(b"0123456789abcdeg", url, &form, &signature));
    assert_eq!(refused, 2 * form.len() + 1 + 6 + 1);
}

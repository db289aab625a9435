//! Signatures against those of Twilio's own library.

use serde_json::Value;
use switchboard_kit::twilio::signature::{sign, string_to_sign};

#[test]
fn signatures_equal_those_of_the_official_library() {
    let file: Value = serde_json::from_str(include_str!("../data/twilio_signatures.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 15, "{} vectors", vectors.len());
    for vector in vectors {
        let id = &vector["id"];
        let mut params = Vec::new();
        for (name, value) in vector["signed_params"].as_object().unwrap() {
            match value {
                Value::Array(values) => {
                    for value in values {
                        params.push((name.as_str(), value.as_str().unwrap()));
                    }
                }
                value => params.push((name.as_str(), value.as_str().unwrap())),
            }
        }
        let url = vector["signed_url"].as_str().unwrap();
        assert_eq!(
            string_to_sign(url, &params),
            vector["string_to_sign"].as_str().unwrap(),
            "{id}"
        );
        let token = vector["auth_token"].as_str().unwrap();
        assert_eq!(
            sign(token, url, &params),
            vector["signature"].as_str().unwrap(),
            "{id}"
        );
    }
}

#[test]
fn another_token_or_another_value_gives_another_signature() {
    let url = "https://spa.example/incoming-call";
    let signature = sign("12345", url, &[("From", "+15550142")]);
    assert_ne!(signature, sign("12346", url, &[("From", "+15550142")]));
    assert_ne!(signature, sign("12345", url, &[("From", "+15550143")]));
}

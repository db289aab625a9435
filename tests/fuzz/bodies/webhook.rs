//! Any body is a form or refused; what Twilio signed is believed, and nothing that differs from it by a pair.
//!
//! The first line is the URL, the second a signature, the rest the body.
use switchboard::phone::twilio::form::Form;
use switchboard::phone::twilio::signature::{Algorithm, Signed, is_valid, sign};

const KEY: &[u8] = b"12345";

/// What the target does with an input.
pub(crate) fn run(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else {
        return;
    };
    let mut lines = input.splitn(3, '\n');
    let (url, signature) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    let body = lines.next().unwrap_or_default();
    let _ = Form::from_query(url);
    let Ok(form) = Form::from_body(Some("application/x-www-form-urlencoded"), body.as_bytes())
    else {
        return;
    };
    for algorithm in [Algorithm::HmacSha1, Algorithm::HmacSha256] {
        let genuine = sign(algorithm, KEY, url, form.pairs());
        let signed = Signed::Form(form.pairs());
        assert!(is_valid(algorithm, KEY, url, signed, &genuine));
        assert!(!is_valid(algorithm, b"another", url, signed, &genuine));
        // A guess that is right would be a broken hash.
        assert!(!is_valid(algorithm, KEY, url, signed, signature) || signature == genuine);
        let mut more = form.pairs().to_vec();
        more.push(("Added".to_owned(), "by somebody".to_owned()));
        if !form.pairs().contains(&more[more.len() - 1]) {
            assert!(!is_valid(
                algorithm,
                KEY,
                url,
                Signed::Form(&more),
                &genuine
            ));
        }
    }
    let _ = is_valid(
        Algorithm::HmacSha1,
        KEY,
        url,
        Signed::Body(body.as_bytes()),
        signature,
    );
}

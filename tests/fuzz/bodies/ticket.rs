//! No text but a minted one is a ticket, and a minted one says what it was minted for.
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;
use switchboard::trust::ticket::TicketIssuer;

static MINT: LazyLock<TicketIssuer> =
    LazyLock::new(|| TicketIssuer::from_auth_token(&SecretString::from("12345")));
static NOW: LazyLock<SystemTime> =
    LazyLock::new(|| UNIX_EPOCH + Duration::from_secs(1_795_000_000));

/// What the target does with an input.
pub(crate) fn run(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    assert!(MINT.verify(text, *NOW).is_err(), "a forged ticket");
    if let Ok(ticket) = MINT.mint(text, *NOW) {
        let claim = MINT.verify(&ticket, *NOW).expect("our own ticket");
        assert_eq!(claim.call_sid, text);
        assert!(
            MINT.verify(&ticket, *NOW + Duration::from_secs(3_600))
                .is_err()
        );
    }
}

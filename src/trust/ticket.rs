//! The ticket that opens a media socket.
//!
//! A ticket is minted when a signed webhook is answered and stands in the path of the stream's URL (Twilio strips
//! queries there). It is bound to one call and a minute; the registry and the store see to it that it is used once.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::settings::Secrets;

/// Twilio opens the socket within seconds of reading the TwiML; a minute covers a `<Say>` before it.
pub const LIFE: Duration = Duration::from_secs(60);
/// The ticket may be minted on another machine than it is shown to, and wall clocks step: so far they may differ.
pub const TOLERANCE: Duration = Duration::from_secs(120);
/// After this long a nonce can be forgotten: its ticket is expired on every clock within the tolerance.
pub const REMEMBER_NONCE: Duration = Duration::from_secs(60 + 2 * 120);

const NONCE_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 8;
const MAC_BYTES: usize = 32;
/// A call SID has 34 characters (twilio.com/docs/glossary/what-is-a-sid); longer ones are not minted for.
const MAX_CALL_SID_BYTES: usize = 64;

/// The random part of a ticket, which makes it single-use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; NONCE_BYTES]);

/// What a genuine ticket says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The call it was minted for.
    pub call_sid: String,
    /// Its random part: accept each one once.
    pub nonce: Nonce,
    /// When its life ends.
    pub expires: SystemTime,
}

/// Why a ticket opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not one of ours by its form.
    #[error("ticket is malformed")]
    Malformed,
    /// Not signed with our key.
    #[error("ticket is forged")]
    Forged,
    /// Genuine once, or from a clock too far ahead.
    #[error("ticket has expired")]
    Expired,
}

impl TicketError {
    /// The reason for the rejection counter.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::Expired => "expired",
        }
    }
}

/// Why no ticket can be minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// Too long to be a call SID.
    #[error("call SID is longer than {MAX_CALL_SID_BYTES} bytes")]
    CallSidTooLong,
}

/// Mints tickets and knows its own. Every node of a fleet with the same auth token knows the others' too.
#[derive(Clone)]
pub struct TicketIssuer {
    key: Key,
    /// Keys whose tickets are ours, too, and until when: those of other tokens in force have no end, those of tokens that
    /// left end with the last ticket they can have minted.
    others: Vec<(Key, Option<SystemTime>)>,
}

type Key = [u8; 32];

impl fmt::Debug for TicketIssuer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Mint")
    }
}

impl TicketIssuer {
    /// A mint whose key comes from the auth token.
    pub fn from_auth_token(auth_token: &SecretString) -> Self {
        Self {
            key: key_of(auth_token),
            others: Vec::new(),
        }
    }

    /// The same while auth tokens are rotated: mints with the first, and knows the tickets of all.
    pub fn from_auth_tokens(auth_tokens: &Secrets) -> Self {
        let others = auth_tokens.others().iter();
        Self {
            key: key_of(auth_tokens.first()),
            others: others.map(|token| (key_of(token), None)).collect(),
        }
    }

    /// The same in the place of another mint, whose tickets still open what they were minted for.
    #[must_use]
    pub fn after(mut self, former: &Self, now: SystemTime) -> Self {
        let left = std::iter::once((former.key, None)).chain(former.others.iter().copied());
        for (key, end) in left {
            let end = end.unwrap_or(now + REMEMBER_NONCE);
            if end > now && !self.keys(now).any(|known| *known == key) {
                self.others.push((key, Some(end)));
            }
        }
        self
    }

    fn keys(&self, now: SystemTime) -> impl Iterator<Item = &Key> {
        let in_force = move |(_, end): &&(Key, Option<SystemTime>)| end.is_none_or(|end| end > now);
        let others = self.others.iter().filter(in_force).map(|(key, _)| key);
        std::iter::once(&self.key).chain(others)
    }

    /// A mint with a key of its own, for development.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, MintError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| MintError::NoRandomness)?;
        Ok(Self {
            key,
            others: Vec::new(),
        })
    }

    /// A ticket for one call: at most 158 characters that need no escaping in a path.
    ///
    /// # Errors
    /// When the system gives no random bytes, or `call_sid` is no call SID by its length.
    pub fn mint(&self, call_sid: &str, now: SystemTime) -> Result<String, MintError> {
        if call_sid.len() > MAX_CALL_SID_BYTES {
            return Err(MintError::CallSidTooLong);
        }
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| MintError::NoRandomness)?;
        let mut ticket =
            Vec::with_capacity(EXPIRY_BYTES + NONCE_BYTES + call_sid.len() + MAC_BYTES);
        ticket.extend_from_slice(&unix_seconds(now + LIFE).to_be_bytes());
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(call_sid.as_bytes());
        let mac = mac_of(&self.key, &ticket);
        ticket.extend_from_slice(&mac);
        Ok(URL_SAFE_NO_PAD.encode(ticket))
    }

    /// What a ticket says, if it is ours and its time has not passed.
    ///
    /// # Errors
    /// Malformed, forged or expired.
    pub fn verify(&self, ticket: &str, now: SystemTime) -> Result<Claim, TicketError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(ticket)
            .map_err(|_| TicketError::Malformed)?;
        let (signed, mac) = bytes
            .split_last_chunk::<MAC_BYTES>()
            .ok_or(TicketError::Malformed)?;
        let (expiry, rest) = signed
            .split_first_chunk::<EXPIRY_BYTES>()
            .ok_or(TicketError::Malformed)?;
        let (nonce, call_sid) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(TicketError::Malformed)?;
        if call_sid.len() > MAX_CALL_SID_BYTES {
            return Err(TicketError::Malformed);
        }
        // All are tried, so that the time tells nothing.
        let mut found = subtle::Choice::from(0);
        for key in self.keys(now) {
            found |= mac_of(key, signed).ct_eq(mac);
        }
        if !bool::from(found) {
            return Err(TicketError::Forged);
        }
        let expiry = u64::from_be_bytes(*expiry);
        let now = unix_seconds(now);
        let too_late = now > expiry.saturating_add(TOLERANCE.as_secs());
        let too_early = now.saturating_add((LIFE + TOLERANCE).as_secs()) < expiry;
        if too_late || too_early {
            return Err(TicketError::Expired);
        }
        let expires = UNIX_EPOCH
            .checked_add(Duration::from_secs(expiry))
            .ok_or(TicketError::Malformed)?;
        let call_sid = String::from_utf8(call_sid.to_vec()).map_err(|_| TicketError::Malformed)?;
        Ok(Claim {
            call_sid,
            nonce: Nonce(*nonce),
            expires,
        })
    }
}

/// By a step that keeps the token itself out of tickets.
fn key_of(auth_token: &SecretString) -> Key {
    mac_of(
        auth_token.expose_secret().as_bytes(),
        b"switchboard media ticket 1",
    )
}

fn mac_of(key: &[u8], bytes: &[u8]) -> [u8; MAC_BYTES] {
    let mut mac = keyed(key);
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// Tells a ticket from all others without being one: it opens nothing, so it may be written down.
pub fn fingerprint(ticket: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(ticket.as_bytes()))
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length (RFC 2104)")
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALL: &str = "CA00000000000000000000000000000001";

    fn mint() -> TicketIssuer {
        TicketIssuer::from_auth_token(&"0123456789abcdef".to_owned().into())
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_ticket_says_its_call_and_when_it_ends() {
        let ticket = mint().mint(CALL, at(1_000_000)).unwrap();
        assert!(ticket.len() < 200);
        assert!(
            ticket
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        );
        let claim = mint().verify(&ticket, at(1_000_030)).unwrap();
        assert_eq!(claim.call_sid, CALL);
        assert_eq!(claim.expires, at(1_000_060));
    }

    #[test]
    fn two_tickets_of_one_call_have_two_nonces() {
        let [first, second] = [(); 2].map(|()| mint().mint(CALL, at(1)).unwrap());
        let nonce = |ticket: &str| mint().verify(ticket, at(1)).unwrap().nonce;
        assert_ne!(nonce(&first), nonce(&second));
    }

    #[test]
    fn a_ticket_expires_after_its_life_and_the_tolerance() {
        let ticket = mint().mint(CALL, at(1_000_000)).unwrap();
        let last = 1_000_000 + LIFE.as_secs() + TOLERANCE.as_secs();
        assert!(mint().verify(&ticket, at(last)).is_ok());
        assert_eq!(
            mint().verify(&ticket, at(last + 1)),
            Err(TicketError::Expired)
        );
        let first = 1_000_000 - TOLERANCE.as_secs();
        assert!(mint().verify(&ticket, at(first)).is_ok());
        assert_eq!(
            mint().verify(&ticket, at(first - 1)),
            Err(TicketError::Expired)
        );
        assert_eq!(REMEMBER_NONCE, LIFE + TOLERANCE + TOLERANCE);
        let remembered = switchboard_actors::store::TICKET_LIFE.unsigned_abs();
        assert!(REMEMBER_NONCE.as_secs() <= remembered);
    }

    #[test]
    fn another_token_or_a_random_key_makes_forgeries() {
        let other = TicketIssuer::from_auth_token(&"0123456789abcdeg".to_owned().into())
            .mint(CALL, at(1))
            .unwrap();
        assert_eq!(mint().verify(&other, at(1)), Err(TicketError::Forged));
        let random = TicketIssuer::random().unwrap();
        assert_eq!(
            mint().verify(&random.mint(CALL, at(1)).unwrap(), at(1)),
            Err(TicketError::Forged)
        );
        assert!(
            random
                .verify(&random.mint(CALL, at(1)).unwrap(), at(1))
                .is_ok()
        );
    }

    #[test]
    fn tickets_of_all_tokens_are_known_and_those_of_one_that_left_until_they_expire() {
        let secret = |text: &str| -> SecretString { text.to_owned().into() };
        let [old, new] = ["old-auth-token", "new-auth-token"];
        let of_old = TicketIssuer::from_auth_token(&secret(old));
        let both = TicketIssuer::from_auth_tokens(&Secrets::new(secret(new), vec![secret(old)]));
        let of_new = TicketIssuer::from_auth_token(&secret(new));
        let ticket = |mint: &TicketIssuer, seconds: u64| mint.mint(CALL, at(seconds)).unwrap();
        // The first mints, all are known.
        assert!(both.verify(&ticket(&of_old, 1_000), at(1_000)).is_ok());
        assert!(of_new.verify(&ticket(&both, 1_000), at(1_000)).is_ok());
        assert_eq!(
            of_old.verify(&ticket(&both, 1_000), at(1_000)),
            Err(TicketError::Forged)
        );
        // What was minted just before the change opens its socket; nothing does that comes later.
        let after = of_new.after(&both, at(1_000));
        assert!(after.verify(&ticket(&of_old, 999), at(1_010)).is_ok());
        let end = 1_000 + REMEMBER_NONCE.as_secs();
        assert_eq!(
            after.verify(&ticket(&of_old, end), at(end)),
            Err(TicketError::Forged)
        );
        // Another change in between gives it no more time.
        let again = TicketIssuer::from_auth_token(&secret("third")).after(&after, at(1_100));
        assert!(again.verify(&ticket(&of_old, 1_100), at(1_100)).is_ok());
        assert!(again.verify(&ticket(&of_old, end), at(end)).is_err());
        assert!(again.verify(&ticket(&after, end), at(end)).is_ok());
        // A token that comes back is in force as any other.
        let back = TicketIssuer::from_auth_token(&secret(old)).after(&again, at(1_200));
        assert!(back.verify(&ticket(&of_old, end), at(end)).is_ok());
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let ticket = mint().mint(CALL, at(1_000_000)).unwrap();
        for place in 0..ticket.len() {
            let mut changed = ticket.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(
                mint().verify(&changed, at(1_000_000)).is_err(),
                "character {place}"
            );
        }
        assert_eq!(
            mint().verify(&ticket[..ticket.len() - 4], at(1_000_000)),
            Err(TicketError::Forged)
        );
    }

    #[test]
    fn a_call_sid_of_absurd_length_is_not_minted_for() {
        assert_eq!(
            mint().mint(&"C".repeat(65), at(1)),
            Err(MintError::CallSidTooLong)
        );
        assert!(mint().mint(&"C".repeat(64), at(1)).unwrap().len() <= 160);
    }

    proptest! {
        #[test]
        fn no_text_opens_anything_or_panics(text in any::<String>(), seconds in any::<u32>()) {
            prop_assert!(mint().verify(&text, at(u64::from(seconds))).is_err());
        }

        #[test]
        fn no_signed_time_panics(expiry in any::<u64>()) {
            let mint = mint();
            let mut ticket = expiry.to_be_bytes().to_vec();
            ticket.extend_from_slice(&[7; NONCE_BYTES]);
            let mac = mac_of(&mint.key, &ticket);
            ticket.extend_from_slice(&mac);
            let _ = mint.verify(&URL_SAFE_NO_PAD.encode(ticket), at(1_000_000));
        }
    }
}

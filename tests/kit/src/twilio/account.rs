//! Who owns the calls, and the SIDs everything is named by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fmt, process};

/// A Twilio account: its SID and the Auth Token that signs every request.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// `AC` and 32 hexadecimal digits.
    pub sid: String,
    /// The primary Auth Token, the key of every signature.
    pub auth_token: String,
}

impl Account {
    /// An account with this SID and Auth Token.
    pub fn new(sid: impl Into<String>, auth_token: impl Into<String>) -> Self {
        Self {
            sid: sid.into(),
            auth_token: auth_token.into(),
        }
    }
}

/// An invented account for tests; it exists nowhere.
impl Default for Account {
    fn default() -> Self {
        Self::new(
            "AC00000000000000000000000000000001",
            "0123456789abcdef0123456789abcdef",
        )
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("sid", &self.sid)
            .field("auth_token", &"…")
            .finish()
    }
}

/// Makes SIDs: a two-letter prefix and 32 hexadecimal digits, half seed and half counter.
#[derive(Debug)]
pub struct SidMint {
    seed: u64,
    next: AtomicU64,
}

static OF_PROCESS: LazyLock<Arc<SidMint>> = LazyLock::new(|| {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since_1970.map_or(0, |time| time.as_nanos() as u64);
    Arc::new(SidMint::seeded(
        nanos.rotate_left(20) ^ u64::from(process::id()),
    ))
});

impl SidMint {
    /// A mint that gives the same SIDs in the same order for the same seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self {
            seed,
            next: AtomicU64::new(1),
        }
    }

    /// The mint shared by this process; no other process gives its SIDs.
    #[must_use]
    pub fn of_process() -> Arc<Self> {
        Arc::clone(&OF_PROCESS)
    }

    /// The next SID with this prefix (`CA` call, `MZ` stream, `AC` account).
    #[must_use]
    pub fn mint(&self, prefix: &str) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}{:016x}{number:016x}", self.seed)
    }

    /// A token as in the header `I-Twilio-Idempotency-Token`: the shape of a UUID.
    #[must_use]
    pub fn idempotency_token(&self) -> String {
        let hex = self.mint("");
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sids_have_32_hexadecimal_digits_and_differ() {
        let mint = SidMint::seeded(u64::MAX);
        let first = mint.mint("CA");
        assert_eq!(first, "CAffffffffffffffff0000000000000001");
        assert_ne!(first, mint.mint("CA"));
        assert_eq!(mint.idempotency_token().len(), 36);
    }

    #[test]
    fn debug_output_hides_the_token() {
        let account = Account::default();
        assert!(!format!("{account:?}").contains(&account.auth_token));
    }
}

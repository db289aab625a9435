//! The comparison of what somebody sends with the operator's token.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Compares texts with the operator's token in a time that tells nothing about either, their lengths included.
#[derive(Clone)]
pub(crate) struct BearerToken {
    digest: [u8; 32],
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BearerToken")
    }
}

impl BearerToken {
    /// Keeps the token's hash.
    pub(crate) fn new(token: &SecretString) -> Self {
        Self {
            digest: Sha256::digest(token.expose_secret().as_bytes()).into(),
        }
    }

    /// Whether `given` is the token.
    pub(crate) fn matches(&self, given: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(given.as_bytes()).into();
        self.digest.ct_eq(&digest).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_compare_whole() {
        let token = BearerToken::new(&"sixteen-or-more!".to_owned().into());
        assert!(token.matches("sixteen-or-more!"));
        for wrong in [
            "",
            "sixteen-or-more",
            "sixteen-or-more!!",
            "Sixteen-or-more!",
        ] {
            assert!(!token.matches(wrong));
        }
        assert_eq!(format!("{token:?}"), "BearerToken");
    }
}

//! Twilio's SIDs, checked on the way in.

use std::fmt;

/// Length of every SID: two letters and 32 hexadecimal digits.
const SID_LENGTH: usize = 34;

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; SID_LENGTH]);

        impl $name {
            /// Reads a SID; `None` unless it is the prefix followed by 32 hexadecimal digits.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::parse_bytes(text.as_bytes())
            }

            /// The same of text that was not looked at yet.
            #[must_use]
            pub fn parse_bytes(text: &[u8]) -> Option<Self> {
                let bytes: [u8; SID_LENGTH] = text.try_into().ok()?;
                let (prefix, digits) = bytes.split_at(2);
                let valid = prefix == $prefix && digits.iter().all(u8::is_ascii_hexdigit);
                valid.then_some(Self(bytes))
            }

            /// The SID as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                // Only ASCII gets past `parse`.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a SID"))
            }
        }
    };
}

sid!(
    /// Names a phone call at Twilio (`CA…`); stays the same over all media streams of the call.
    CallSid,
    b"CA"
);
sid!(
    /// Names one media stream (`MZ…`); every message we send to Twilio must carry it.
    StreamSid,
    b"MZ"
);
sid!(
    /// Names the Twilio account a call belongs to (`AC…`).
    AccountSid,
    b"AC"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sids_off_the_pattern_are_refused() {
        let good = format!("CA{}", "0aF9".repeat(8));
        assert_eq!(
            CallSid::parse(&good).map(|sid| sid.to_string()),
            Some(good.clone())
        );
        assert!(StreamSid::parse(&good).is_none(), "another kind of SID");
        assert!(CallSid::parse(&good[..33]).is_none(), "too short");
        assert!(CallSid::parse(&format!("{good}0")).is_none(), "too long");
        assert!(
            CallSid::parse(&good.replace('9', "g")).is_none(),
            "not hexadecimal"
        );
        assert!(
            CallSid::parse(&format!("CA{}é", "0".repeat(30))).is_none(),
            "not ASCII"
        );
    }
}

//! Who vouches for the caller's number.

/// Whether the caller's carrier vouches for the number in full: attestation A of STIR/SHAKEN, whatever is added behind
/// it (<https://www.twilio.com/docs/voice/trusted-calling-with-shakenstir>). Nothing said is nothing vouched for.
pub(crate) fn is_attested(verstat: Option<&str>) -> bool {
    let full = "TN-Validation-Passed-A";
    verstat.is_some_and(|verstat| {
        let rest = verstat.trim().strip_prefix(full);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_attestation_vouches_for_a_number() {
        for full in [
            "TN-Validation-Passed-A",
            "TN-Validation-Passed-A-Diverted",
            "TN-Validation-Passed-A-Passthrough",
        ] {
            assert!(is_attested(Some(full)), "{full}");
        }
        for less in [
            "",
            "TN-Validation-Passed-B",
            "TN-Validation-Passed-C-Diverted",
            "TN-Validation-Passed-Any",
            "TN-Validation-Failed-A",
            "TN-Validation-Failed",
            "No-TN-Validation",
        ] {
            assert!(!is_attested(Some(less)), "{less}");
        }
        assert!(!is_attested(None));
    }
}

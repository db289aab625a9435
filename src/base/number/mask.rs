//! Numbers as logs and pages have them.

/// Bullets instead of digits; their count says nothing about the number's length.
const MASK: &str = "•••••";

/// A caller's number for logs and pages: `+15550142` becomes `+1•••••0142`. The country code and the last four digits
/// stay; of short numbers less. What is not a number keeps its kind (`client:`, `sip:`, `anonymous`) at most.
pub fn mask(number: &str) -> String {
    let Some(digits) = number.strip_prefix('+') else {
        return mask_name(number);
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return MASK.to_owned();
    }
    // A code that is no country's has three digits: there are no shorter ones left.
    let country = super::country_code(digits).unwrap_or(&digits[..digits.len().min(3)]);
    let rest = &digits[country.len()..];
    // Three digits must stay hidden, or the mask would hide nothing.
    let shown = rest.len().saturating_sub(3).min(4);
    format!("+{country}{MASK}{}", &rest[rest.len() - shown..])
}

fn mask_name(name: &str) -> String {
    for scheme in ["client:", "sip:", "sips:", "tel:"] {
        if name.starts_with(scheme) {
            return format!("{scheme}{MASK}");
        }
    }
    let word = name.to_ascii_lowercase();
    match word.as_str() {
        "anonymous" | "restricted" | "unavailable" | "unknown" | "private" => word,
        _ => MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn numbers_keep_country_and_last_four_digits() {
        assert_eq!(mask("+15550142"), "+1•••••0142");
        assert_eq!(mask("+14155550100"), "+1•••••0100");
        assert_eq!(mask("+493012345678"), "+49•••••5678");
        assert_eq!(mask("+35312345678"), "+353•••••5678");
    }

    #[test]
    fn short_numbers_show_less() {
        assert_eq!(mask("+1555014"), "+1•••••014");
        assert_eq!(mask("+1555"), "+1•••••");
        assert_eq!(mask("+1"), "+1•••••");
        assert_eq!(mask("+"), "•••••");
    }

    #[test]
    fn what_is_not_a_number_shows_its_kind_at_most() {
        assert_eq!(mask("client:alice"), "client:•••••");
        assert_eq!(mask("sip:alice@example.com"), "sip:•••••");
        assert_eq!(mask("Anonymous"), "anonymous");
        for text in ["", "15550142", "+1555\n0142", "<script>", "+１２３４５６７"] {
            assert_eq!(mask(text), "•••••", "{text:?}");
        }
    }
}

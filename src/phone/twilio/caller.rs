//! Who calls, as Twilio says it.

use actix_web::HttpRequest;
use call_protocol::phone::Direction;

use super::form::Form;
use super::webhook::Webhook;
use crate::calls::admit::Ringing;

/// What Twilio says of a call. The agent may stand in the URL itself (`/incoming-call?agent=spa`), which is part of what
/// Twilio signs.
pub(crate) fn ringing(request: &HttpRequest, webhook: &Webhook) -> Ringing {
    let field = |name| webhook.form.get(name).map(str::to_owned);
    let query = Form::from_query(request.query_string()).unwrap_or_default();
    Ringing {
        call: webhook.call,
        from: field("From"),
        to: field("To"),
        direction: direction(webhook.form.get("Direction")),
        is_attested: is_attested(webhook.form.get("StirVerstat")),
        agent: query.get("agent").map(str::to_owned),
    }
}

fn direction(told: Option<&str>) -> Direction {
    if told.is_some_and(|told| told.starts_with("outbound")) {
        Direction::Outbound
    } else {
        Direction::Inbound
    }
}

/// Whether the caller's carrier vouches for the number in full: attestation A of STIR/SHAKEN, whatever is added behind
/// it (<https://www.twilio.com/docs/voice/trusted-calling-with-shakenstir>). Nothing said is nothing vouched for.
fn is_attested(verstat: Option<&str>) -> bool {
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

//! `/stream-status` and `/call-status`: what Twilio tells of streams and calls.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use call_protocol::phone::StreamSid;

use super::webhook::Webhook;
use crate::calls::conclude;
use crate::phone::state::PhoneState;

/// Twilio waits fifteen seconds for an answer; what is not done by then goes on without it.
const ANSWERED: Duration = Duration::from_secs(10);

pub(crate) async fn stream_status(state: web::Data<PhoneState>, webhook: Webhook) -> HttpResponse {
    if webhook.form.get("StreamEvent") == Some("stream-error") {
        let error = webhook.form.get("StreamError").unwrap_or_default();
        state.metrics.protocol_violated("twilio", "stream_error");
        log::warn!(target: "switchboard::phone", call_sid = webhook.call.as_str(), error; "twilio reports a stream error");
        if !is_warning(error) {
            // A failure of a stream that was replaced meanwhile may be told late.
            let stream = webhook.form.get("StreamSid").and_then(StreamSid::parse);
            conclude::stream_failed(&state.calls, webhook.call, stream);
        }
    }
    HttpResponse::NoContent().finish()
}

pub(crate) async fn call_status(state: web::Data<PhoneState>, webhook: Webhook) -> HttpResponse {
    if let Some(status) = webhook.final_status() {
        // Twilio's count of it, where there was anything to count.
        let duration_s = webhook.form.get("CallDuration").and_then(whole_number);
        let (calls, call) = (state.calls.clone(), webhook.call);
        let told = actix::spawn(async move { conclude::call_over(&calls, call).await });
        // Twilio says it once: the task is done with it whether somebody waits or not.
        let _ = actix::clock::timeout(ANSWERED, told).await;
        log::info!(
            target: "switchboard::call", call_sid = call.as_str(), status, duration_s = duration_s.unwrap_or(0);
            "completed"
        );
    }
    HttpResponse::NoContent().finish()
}

fn whole_number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// Warnings complain of a message, or of a caller who went quiet, and the stream goes on
/// (<https://www.twilio.com/docs/api/errors>, 31930, 31931, 31950, 31951 and 31953).
fn is_warning(error: &str) -> bool {
    ["31930", "31931", "31950", "31951", "31953"]
        .iter()
        .any(|code| error.contains(code))
}

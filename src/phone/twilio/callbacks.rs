//! `/stream-status` and `/call-status`: what Twilio tells of streams and calls.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use call_protocol::call::event::OperatorEvent;
use call_protocol::phone::{CallSid, StreamSid};
use switchboard_actors::messages::Order;
use switchboard_actors::registry::messages::Find;

use super::webhook::Webhook;
use crate::calls::conclude;
use crate::service::state::AppState;

/// Twilio tells the end of a call on two ways at once. Its owner, who may be another process, learns of it on the media
/// socket and has forgotten the call by then.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Twilio tells of a broken stream on a connection of its own, which may overtake the end of the socket. That end leaves
/// the call its place for another socket; this word, which is for sockets that stay open, does not.
const SOCKET_FIRST: Duration = Duration::from_millis(200);

/// Between two looks whether a call of this process that is over at Twilio has come to its end here, too.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// So often it is looked: a call whose actor stands still ends late.
const LOOKS: u32 = 9_000;

/// Twilio waits fifteen seconds for an answer; what is not done by then goes on without it.
const ANSWERED: Duration = Duration::from_secs(10);

pub(crate) async fn stream_status(app: web::Data<AppState>, webhook: Webhook) -> HttpResponse {
    let event = webhook.form.get("StreamEvent").unwrap_or_default();
    if event == "stream-error" {
        let error = webhook.form.get("StreamError").unwrap_or_default();
        app.metrics.protocol_violated("twilio", "stream_error");
        log::warn!(target: "switchboard::phone", call_sid = webhook.call.as_str(), error; "twilio reports a stream error");
        // The socket may stay open for a minute and more, with nobody at its other end.
        if !is_warning(error) {
            // A failure of a stream that was replaced meanwhile may be told late.
            let stream = webhook.form.get("StreamSid").and_then(StreamSid::parse);
            let failed = OperatorEvent::StreamFailed { stream };
            actix::spawn(async move {
                actix::clock::sleep(SOCKET_FIRST).await;
                order(&app, webhook.call, failed).await;
            });
        }
    }
    HttpResponse::NoContent().finish()
}

pub(crate) async fn call_status(app: web::Data<AppState>, webhook: Webhook) -> HttpResponse {
    if let Some(status) = webhook.final_status() {
        // Twilio's count of it, where there was anything to count.
        let duration_s = webhook.form.get("CallDuration").and_then(whole_number);
        let call = webhook.call;
        let told = actix::spawn(async move {
            // A media socket that outlived its call only costs money.
            if order(&app, call, OperatorEvent::CallOver).await {
                see_off(&app, call).await;
            } else {
                conclude::conclude(&app, call, LAST_WORD).await;
            }
        });
        // Twilio says it once: the task is done with it whether somebody waits or not.
        let _ = actix::clock::timeout(ANSWERED, told).await;
        log::info!(
            target: "switchboard::call", call_sid = webhook.call.as_str(), status, duration_s = duration_s.unwrap_or(0);
            "completed"
        );
    }
    HttpResponse::NoContent().finish()
}

/// A call that lives here tells its end itself; what it leaves behind if it dies meanwhile is put away. The answer waits
/// for it: it says that the end is known.
async fn see_off(app: &AppState, call: CallSid) {
    for _ in 0..LOOKS {
        actix::clock::sleep(LOOK_EVERY).await;
        // A registry that does not answer is no reason to believe that nobody is there.
        if matches!(app.ask(Find(call)).await, Some(None)) {
            conclude::conclude(app, call, LAST_WORD).await;
            return;
        }
    }
}

fn whole_number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// Tells a call, if it lives here; gives whether it does.
async fn order(app: &AppState, call: CallSid, event: OperatorEvent) -> bool {
    let Some(found) = app.ask(Find(call)).await.flatten() else {
        return false;
    };
    found.orders.do_send(Order(event));
    true
}

/// Warnings complain of a message, or of a caller who went quiet, and the stream goes on
/// (<https://www.twilio.com/docs/api/errors>, 31930, 31931, 31950, 31951 and 31953).
fn is_warning(error: &str) -> bool {
    ["31930", "31931", "31950", "31951", "31953"]
        .iter()
        .any(|code| error.contains(code))
}

//! A warm transfer where Twilio can be asked to call: the person is called while the caller stays with the agent.
//!
//! ```text
//!   transfer_call ─▶ POST Calls.json ─▶ their phone rings          the caller talks with the agent
//!                    /briefing          they hear what it is about        │
//!                    /briefing-key      1: <Dial><Conference>             ▼
//!                                          waits there   ◀──────── "I am connecting you now.", /after-stream:
//!                    /person-status     busy, no answer, no key:          <Dial><Conference> of the same name
//!                                       the agent is told, and goes on
//! ```
//!
//! A conference, because two legs that live already can meet nowhere else without leaving something behind: `<Dial>` calls
//! somebody anew, and a queue is a resource of the account that somebody must delete. It starts when both are there, and
//! ends when one leaves (<https://www.twilio.com/docs/voice/twiml/conference>). Whoever hangs up in the moment between
//! strands nobody: the caller is fetched back to the agent, the person is told.

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::call::outcome::{ConsultEvent, Unreached};
use call_protocol::phone::CallSid;

use super::form::Form;
use super::twiml::Response;
use super::webhook::Webhook;
use super::{after_dial, language};
use crate::calls::consult::{ConsultId, Wanted, fetch_back, tell};
use crate::phone::state::PhoneState;

/// Reads which person is meant from the request's own URL.
pub(crate) fn id_of(request: &HttpRequest) -> Option<ConsultId> {
    let query = Form::from_query(request.query_string()).ok()?;
    Some(ConsultId {
        call: query.get("call").and_then(CallSid::parse)?,
        attempt: query.get("attempt")?.parse().ok()?,
    })
}

/// It as a query.
pub(crate) fn query(id: ConsultId) -> String {
    format!("call={}&attempt={}", id.call.as_str(), id.attempt)
}

/// Where caller and person meet: one room for each consultation, and nothing personal in its name.
pub(crate) fn room(id: ConsultId) -> String {
    format!("{}-{}", id.call.as_str(), id.attempt)
}

/// What somebody hears who has answered and whose caller does not come.
pub(crate) fn gone() -> Response {
    Response::new()
        .say(
            "The caller is not waiting any more. Thank you, and goodbye.",
            language::OURS,
        )
        .hangup()
}

/// The person's call is over, however it ended.
pub(crate) async fn status(
    state: web::Data<PhoneState>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    let Some(id) = id_of(&request) else {
        return HttpResponse::BadRequest().finish();
    };
    if !webhook.is_over() {
        return HttpResponse::NoContent().finish();
    }
    match told_gone(&state, &webhook, id).await {
        // Twilio is asked to come back (`rp=5xx`): whoever takes the call over has to know.
        Wanted::Soon => HttpResponse::ServiceUnavailable().finish(),
        Wanted::Yes | Wanted::No => {
            let here = state.clone();
            let back = move |to: Option<&_>| here.address.of(&after_dial::path_when_declined(to));
            fetch_back(&state.calls, id, back);
            HttpResponse::NoContent().finish()
        }
    }
}

/// Tells the call that the person is gone.
async fn told_gone(state: &PhoneState, webhook: &Webhook, id: ConsultId) -> Wanted {
    let status = webhook.form.get("CallStatus").unwrap_or_default();
    // One that was answered and taken by nobody is `completed`, too.
    let why = Unreached::from_label(status).unwrap_or(Unreached::Declined);
    let attempt = id.attempt;
    let wanted = tell(&state.calls, id, ConsultEvent::Gone { attempt, why }).await;
    log::info!(target: "switchboard::person", call_sid = id.call.as_str(), leg = webhook.call.as_str(), attempt, status, wanted:?; "person's call is over");
    wanted
}

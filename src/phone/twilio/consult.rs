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

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::call::event::OperatorEvent;
use call_protocol::call::operator::Objection;
use call_protocol::call::outcome::{ConsultEvent, Destination, NextStep, Person, Stage, Unreached};
use call_protocol::phone::CallSid;
use switchboard_actors::messages::Order;
use switchboard_actors::registry::messages::Find;
use switchboard_actors::twilio::rest::{Change, RestError};

use super::form::Form;
use super::twiml::Response;
use super::webhook::Webhook;
use super::{after_dial, language};
use crate::calls::resume;
use crate::service::state::AppState;

const TARGET: &str = "switchboard::person";

/// A conversation that has taken place is over at `/after-dial` by then, and its checkpoint gone.
const MEETING_IS_OVER: Duration = Duration::from_secs(3);

/// Which wish of which call a request is about; Twilio signs it with the URL.
#[derive(Clone, Copy)]
pub(crate) struct ConsultId {
    pub(crate) call: CallSid,
    pub(crate) attempt: u32,
}

impl ConsultId {
    /// Reads it from the request's own URL.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        let query = Form::from_query(request.query_string()).ok()?;
        Some(Self {
            call: query.get("call").and_then(CallSid::parse)?,
            attempt: query.get("attempt")?.parse().ok()?,
        })
    }

    /// It as a query.
    pub(crate) fn query(&self) -> String {
        format!("call={}&attempt={}", self.call.as_str(), self.attempt)
    }

    /// Where caller and person meet: one room for each wish, and nothing personal in its name.
    pub(crate) fn room(&self) -> String {
        format!("{}-{}", self.call.as_str(), self.attempt)
    }
}

/// Whether a person is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The call knows it now, or is on its way to that person.
    Yes,
    /// The call is between two owners.
    Soon,
    /// Nobody waits for that person.
    No,
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

/// Tells the call what a person does.
pub(crate) async fn tell(app: &AppState, wish: ConsultId, event: ConsultEvent) -> Wanted {
    if let Some(found) = app.ask(Find(wish.call)).await.flatten() {
        match found
            .orders
            .send(Order(OperatorEvent::Consult(event)))
            .await
        {
            Ok(Ok(())) => return Wanted::Yes,
            Ok(Err(Objection::NobodyCalled)) => return Wanted::No,
            // It has just ended: what it wrote down last tells how.
            Ok(Err(_)) | Err(_) => {}
        }
    }
    let Some(left) = resume::look(app, wish.call).await else {
        return Wanted::No;
    };
    let is_he = |person: &Person| person.attempt == wish.attempt;
    if !left.person.as_ref().is_some_and(is_he) {
        return Wanted::No;
    }
    match left.aftermath().0 {
        NextStep::Transfer => Wanted::Yes,
        NextStep::Reconnect => Wanted::Soon,
        NextStep::HangUp | NextStep::Fallback => Wanted::No,
    }
}

/// The person's call is over, however it ended.
pub(crate) async fn status(
    app: web::Data<AppState>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    let Some(wish) = ConsultId::of(&request) else {
        return HttpResponse::BadRequest().finish();
    };
    if !webhook.is_over() {
        return HttpResponse::NoContent().finish();
    }
    let status = webhook.form.get("CallStatus").unwrap_or_default();
    // One that was answered and taken by nobody is `completed`, too.
    let why = Unreached::from_label(status).unwrap_or(Unreached::Declined);
    let attempt = wish.attempt;
    let wanted = tell(&app, wish, ConsultEvent::Gone { attempt, why }).await;
    log::info!(target: TARGET, call_sid = wish.call.as_str(), leg = webhook.call.as_str(), attempt, status, wanted:?; "person's call is over");
    match wanted {
        // Twilio is asked to come back (`rp=5xx`): whoever takes the call over has to know.
        Wanted::Soon => HttpResponse::ServiceUnavailable().finish(),
        Wanted::Yes | Wanted::No => {
            fetch_back(app, wish);
            HttpResponse::NoContent().finish()
        }
    }
}

/// A caller who was on the way to that person would wait alone: they come back to the agent. A caller who has talked with
/// the person is past that.
fn fetch_back(app: web::Data<AppState>, wish: ConsultId) {
    let Some(rest) = app.rest.clone() else {
        return;
    };
    actix::spawn(async move {
        actix::clock::sleep(MEETING_IS_OVER).await;
        let Some(left) = resume::look(&app, wish.call).await else {
            return;
        };
        let is_his =
            |person: &Person| person.attempt == wish.attempt && person.stage == Stage::Waiting;
        if left.aftermath().0 != NextStep::Transfer || !left.person.as_ref().is_some_and(is_his) {
            return;
        }
        let target = left.person.map(|person| person.to);
        let url = format!("{}{}", app.public_http, back(target.as_ref()));
        let result = rest.change(wish.call, &Change::Url(url)).await;
        report(wish.call, "caller fetched back to the agent", result);
    });
}

/// Where a caller goes on whose person was gone before they came.
fn back(target: Option<&Destination>) -> String {
    let path = after_dial::path(target);
    let more = if path.contains('?') { '&' } else { '?' };
    format!("{path}{more}status={}", Unreached::Declined.label())
}

/// Nobody comes to this person any more.
pub(crate) fn let_go(app: &AppState, call: CallSid, person: &Person) {
    let (Some(rest), Some(leg)) = (app.rest.clone(), person.leg) else {
        return;
    };
    let answered = person.stage != Stage::Ringing;
    let words = gone().to_xml().ok().filter(|_| answered);
    let change = words.map_or(Change::Complete, Change::Twiml);
    actix::spawn(async move {
        let result = rest.change(leg, &change).await;
        report(call, "person let go", result);
    });
}

fn report(call: CallSid, what: &'static str, result: Result<(), RestError>) {
    match result {
        Ok(()) => log::info!(target: TARGET, call_sid = call.as_str(); "{what}"),
        Err(RestError::Over) => {
            log::debug!(target: TARGET, call_sid = call.as_str(); "{what}: over already");
        }
        Err(error) => {
            log::warn!(target: TARGET, call_sid = call.as_str(), reason = error.label(), error:% = error; "{what}: refused");
        }
    }
}

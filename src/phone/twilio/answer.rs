//! The TwiML documents we answer with.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use call_protocol::call::outcome::Destination;
use call_protocol::phone::CallSid;

use super::consult::ConsultId;
use super::twiml::{Connect, Response};
use super::{after_dial, language, whisper};
use crate::agents::routing::Answering;
use crate::service::state::AppState;
use crate::settings::TransferMode;
use switchboard_actors::registry::messages::Refused;
use switchboard_base::number::PhoneNumber;

/// Seconds a caller waits for another process.
const PATIENCE: u8 = 10;

/// A document as a response; one that cannot be written hangs up rather than leave Twilio without an answer.
pub(crate) fn twiml(document: &Response) -> HttpResponse {
    match document.to_xml() {
        Ok(xml) => HttpResponse::Ok()
            .content_type(ContentType::xml())
            .body(xml),
        Err(error) => {
            log::error!(target: "switchboard::phone", error:% = error; "cannot write twiml");
            HttpResponse::Ok()
                .content_type(ContentType::xml())
                .body("<Response><Hangup/></Response>")
        }
    }
}

/// Connects the call to its media socket. When the stream ends, Twilio runs what the `action` request is answered with.
/// If nobody answers that, Twilio asks the number's fallback URL and then gives up (error 11200); the verbs behind
/// `<Connect>` are for a Twilio that goes on in the document all the same.
pub(crate) fn connect(app: &AppState, agent: &Answering, token: &str) -> Response {
    let stream = Connect {
        action: format!("{}/after-stream", app.public_http),
        stream_url: format!("{}/media-stream/{token}", app.public_ws),
        status_callback: Some(format!("{}/stream-status", app.public_http)),
        parameters: vec![("agent".to_owned(), agent.name.clone())],
    };
    fall_back(Response::new().connect(stream), agent)
}

/// What the caller hears when the model cannot be had: spoken by Twilio, so that it needs nobody else.
pub(crate) fn fallback(agent: &Answering) -> Response {
    fall_back(Response::new(), agent)
}

/// Connects the caller with somebody else, who may have been called before and wait for them, and asks `/after-dial`
/// what came of it. A name that no target has leads to the fallback.
pub(crate) fn transfer(
    app: &AppState,
    agent: &Answering,
    call: CallSid,
    to: Option<&Destination>,
    awaited_by: Option<u32>,
) -> Response {
    if let Some(attempt) = awaited_by {
        let room = ConsultId { call, attempt }.room();
        let action = format!("{}{}", app.public_http, after_dial::path_of_meeting(to));
        return Response::new().meet(room, Some(action));
    }
    let number = match to {
        // It may be one that an earlier version wrote down.
        Some(Destination::Number(number)) => PhoneNumber::parse(number).ok(),
        Some(Destination::Target(name)) => agent.target(name).cloned(),
        None => None,
    };
    let Some(number) = number else {
        return fallback(agent);
    };
    let action = format!("{}{}", app.public_http, after_dial::path(to));
    let settings = agent.transfer();
    let screen = match settings.mode {
        TransferMode::Cold => None,
        TransferMode::Warm => Some(format!("{}{}", app.public_http, whisper::path(call))),
    };
    Response::new().transfer(&number, action, settings.ring_seconds, screen)
}

fn fall_back(document: Response, agent: &Answering) -> Response {
    let fallback = agent.fallback();
    let document = document.say(&fallback.say, language::of(agent.language()));
    match &fallback.dial {
        Some(number) => document.dial(number, None, None),
        None => document.hangup(),
    }
}

/// Somebody else must go on with the call: whoever answers at the fleet's address, or the process that comes after this
/// one. Twilio is asked to wait for that a second at a time; then the caller is better served by a person.
pub(crate) fn elsewhere(app: &AppState, agent: &Answering, path: &str, waited: u8) -> Response {
    if waited >= PATIENCE {
        return fallback(agent);
    }
    let more = if path.contains('?') { '&' } else { '?' };
    if let Some(fleet) = &app.settings.server.fleet_url {
        let again = format!("{path}{more}waited={}", waited + 1);
        let document = Response::new();
        // The first jump is at once; one that comes back here met no other process.
        let document = if waited == 0 {
            document
        } else {
            document.pause(1)
        };
        return document.redirect(&fleet.join(&again));
    }
    let again = format!("{}{path}{more}waited={}", app.public_http, waited + 1);
    Response::new().pause(1).redirect(&again)
}

/// The busy tone, at once: the call is not answered and costs nothing.
pub(crate) fn busy() -> Response {
    Response::new().busy()
}

/// No room, or no new calls: the fleet if there is one, a person if there is one, else the busy tone, at once.
pub(crate) fn turned_away(app: &AppState, agent: &Answering, reason: &str) -> Response {
    if let Some(fleet) = &app.settings.server.fleet_url
        && reason == Refused::Draining.label()
    {
        return Response::new().redirect(&fleet.join("/incoming-call"));
    }
    match &agent.fallback().dial {
        Some(_) => fall_back(Response::new(), agent),
        None => busy(),
    }
}

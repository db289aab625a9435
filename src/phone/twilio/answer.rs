//! The TwiML documents we answer with.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use call_protocol::call::outcome::Destination;
use call_protocol::phone::CallSid;

use super::twiml::{Connect, Response};
use super::{after_dial, consult, language, whisper};
use crate::agents::routing::Answering;
use crate::calls::consult::ConsultId;
use crate::calls::resume::Next;
use crate::phone::address::PublicAddress;
use crate::settings::TransferMode;
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
pub(crate) fn connect(address: &PublicAddress, agent: &Answering, token: &str) -> Response {
    let stream = Connect {
        action: address.of("/after-stream"),
        stream_url: address.of_socket(&format!("/media-stream/{token}")),
        status_callback: Some(address.of("/stream-status")),
        parameters: vec![("agent".to_owned(), agent.name.clone())],
    };
    fall_back(Response::new().connect(stream), agent)
}

/// What the caller hears when the model cannot be had: spoken by Twilio, so that it needs nobody else.
fn fallback(agent: &Answering) -> Response {
    fall_back(Response::new(), agent)
}

/// What comes next for a caller. `asked_at` is the path where that is asked, and how often it was.
pub(crate) fn next(
    address: &PublicAddress,
    agent: &Answering,
    call: CallSid,
    next: Next,
    (asked_at, waited): (&str, u8),
) -> Response {
    match next {
        Next::HangUp => Response::new().hangup(),
        Next::Transfer { to, awaited_by } => match awaited_by {
            Some(attempt) => meet(address, ConsultId { call, attempt }, to.as_ref()),
            None => transfer(address, agent, call, to.as_ref()),
        },
        Next::Fallback => fallback(agent),
        Next::Connect { token } => connect(address, agent, &token),
        Next::Elsewhere => elsewhere(address, agent, asked_at, waited),
    }
}

/// Connects the caller with a person who was called before and waits for them.
fn meet(address: &PublicAddress, wish: ConsultId, to: Option<&Destination>) -> Response {
    let action = address.of(&after_dial::path_of_meeting(to));
    Response::new().meet(consult::room(wish), Some(action))
}

/// Connects the caller with somebody else, and asks `/after-dial` what came of it. A name that no target has leads to the
/// fallback.
fn transfer(
    address: &PublicAddress,
    agent: &Answering,
    call: CallSid,
    to: Option<&Destination>,
) -> Response {
    let Some(number) = number(agent, to) else {
        return fallback(agent);
    };
    let action = address.of(&after_dial::path(to));
    let settings = agent.transfer();
    let screen = match settings.mode {
        TransferMode::Cold => None,
        TransferMode::Warm => Some(address.of(&whisper::path(call))),
    };
    Response::new().transfer(&number, action, settings.ring_seconds, screen)
}

fn number(agent: &Answering, to: Option<&Destination>) -> Option<PhoneNumber> {
    match to? {
        // It may be one that an earlier version wrote down.
        Destination::Number(number) => PhoneNumber::parse(number).ok(),
        Destination::Target(name) => agent.target(name).cloned(),
    }
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
fn elsewhere(address: &PublicAddress, agent: &Answering, path: &str, waited: u8) -> Response {
    if waited >= PATIENCE {
        return fallback(agent);
    }
    let more = if path.contains('?') { '&' } else { '?' };
    let again = format!("{path}{more}waited={}", waited + 1);
    match address.of_fleet(&again) {
        // The first jump is at once; one that comes back here met no other process.
        Some(fleet) if waited == 0 => Response::new().redirect(&fleet),
        Some(fleet) => Response::new().pause(1).redirect(&fleet),
        None => Response::new().pause(1).redirect(&address.of(&again)),
    }
}

/// The busy tone, at once: the call is not answered and costs nothing.
pub(crate) fn busy() -> Response {
    Response::new().busy()
}

/// No room, or no new calls: the fleet if this process leaves and there is one, a person if there is one, else the busy
/// tone, at once.
pub(crate) fn turned_away(address: &PublicAddress, agent: &Answering, leaves: bool) -> Response {
    if let Some(fleet) = address.of_fleet("/incoming-call").filter(|_| leaves) {
        return Response::new().redirect(&fleet);
    }
    match &agent.fallback().dial {
        Some(_) => fall_back(Response::new(), agent),
        None => busy(),
    }
}

//! The TwiML documents we answer with.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;

use super::twiml::{Connect, Response};
use crate::answering::Answering;
use crate::house::House;
use crate::settings::Fallback;

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

/// Connects the call to its media socket. The verbs behind `<Connect>` run only if even the `action` request fails.
pub(crate) fn connect(house: &House, agent: &Answering, token: &str) -> Response {
    let stream = Connect {
        action: format!("{}/after-stream", house.public_http),
        stream_url: format!("{}/media-stream/{token}", house.public_ws),
        status_callback: Some(format!("{}/stream-status", house.public_http)),
        parameters: vec![("agent".to_owned(), agent.name.clone())],
    };
    fall_back(Response::new().connect(stream), agent.fallback())
}

/// What the caller hears when the model cannot be had: spoken by Twilio, so that it needs nobody else.
pub(crate) fn fallback(agent: &Answering) -> Response {
    fall_back(Response::new(), agent.fallback())
}

/// Connects the caller with a transfer target; nobody by that name is a fallback.
pub(crate) fn transfer(agent: &Answering, target: Option<&str>) -> Response {
    match target.and_then(|target| agent.target(target)) {
        Some(number) => Response::new().dial(number.as_str(), None, None),
        None => fallback(agent),
    }
}

fn fall_back(document: Response, fallback: &Fallback) -> Response {
    let document = document.say(&fallback.say);
    match &fallback.dial {
        Some(number) => document.dial(number.as_str(), None, None),
        None => document.hangup(),
    }
}

/// No room, or no new calls: a person if there is one, else the busy tone, at once.
pub(crate) fn turned_away(agent: &Answering) -> Response {
    let fallback = agent.fallback();
    match &fallback.dial {
        Some(_) => fall_back(Response::new(), fallback),
        None => Response::new().busy(),
    }
}

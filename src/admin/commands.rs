//! What an operator has a live call do: say something, know something, send the caller to somebody.

use actix_web::{HttpResponse, web};
use call_protocol::call::event::{OperatorEvent, OperatorText};
use call_protocol::call::outcome::Destination;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::calls::{bad_body, find, order};
use super::state::AdminState;
use switchboard_base::number::PhoneNumber;

/// `{"text":"…"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
}

/// `{"to":"+1…"}`, or the name of a transfer target.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    to: String,
}

/// A body that could not be read is refused by the handler, so that an unknown call is told first.
type Body = Result<web::Bytes, actix_web::Error>;

pub(crate) async fn say(
    state: web::Data<AdminState>,
    call: web::Path<String>,
    body: Body,
) -> HttpResponse {
    command(&state, &call, "say", || {
        words(&body).map(OperatorEvent::Say)
    })
    .await
}

pub(crate) async fn instruct(
    state: web::Data<AdminState>,
    call: web::Path<String>,
    body: Body,
) -> HttpResponse {
    let wish = || words(&body).map(OperatorEvent::Instruct);
    command(&state, &call, "instruct", wish).await
}

pub(crate) async fn transfer(
    state: web::Data<AdminState>,
    call: web::Path<String>,
    body: Body,
) -> HttpResponse {
    let wish = || destination(&body).map(OperatorEvent::Transfer);
    command(&state, &call, "transfer", wish).await
}

async fn command(
    state: &AdminState,
    call: &str,
    what: &str,
    wish: impl FnOnce() -> Result<OperatorEvent, String>,
) -> HttpResponse {
    let found = match find(state, call).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    match wish() {
        Ok(wish) => order(call, &found, wish, what).await,
        Err(why) => bad_body(&why),
    }
}

fn read<T: DeserializeOwned>(body: &Body, shape: &str) -> Result<T, String> {
    let body = body
        .as_ref()
        .map_err(|_| "the body cannot be read".to_owned())?;
    // serde's own words would quote what was sent.
    serde_json::from_slice(body).map_err(|_| format!("send {shape} as JSON"))
}

fn words(body: &Body) -> Result<OperatorText, String> {
    let Text { text } = read(body, r#"{"text":"…"}"#)?;
    OperatorText::parse(&text).map_err(|error| error.to_string())
}

/// A phone number, or a name; whether there is a target by that name, the call knows.
fn destination(body: &Body) -> Result<Destination, String> {
    let To { to } = read(body, r#"{"to":"+1…"}"#)?;
    let to = to.trim();
    match PhoneNumber::parse(to) {
        Ok(number) => Ok(Destination::Number(number.as_str().to_owned())),
        Err(error) if to.starts_with('+') => Err(format!("to {error}")),
        Err(_) if to.is_empty() => {
            Err("to is neither a phone number nor the name of a transfer target".to_owned())
        }
        Err(_) => Ok(Destination::Target(to.to_owned())),
    }
}

//! `/media-stream/{token}`: Twilio opens the media socket.

use std::sync::Arc;
use std::time::SystemTime;

use actix_web::http::Method;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use call_protocol::ids::CallSid;
use switchboard_actors::messages::{Admitted, Claim, ClaimError, Claimed, Tenure, WalkIn};
use switchboard_actors::openai::Dialler;

use super::openers::Opener;
use super::signature::Signed;
use super::takeover;
use crate::house::House;
use crate::settings::{StreamSignature, as_socket};

/// With a ticket in the path.
pub(crate) async fn with_ticket(
    house: web::Data<House>,
    dialler: web::Data<DiallerOfThread>,
    token: web::Path<String>,
    request: HttpRequest,
    stream: web::Payload,
) -> Result<HttpResponse, Error> {
    if request.method() == Method::HEAD {
        return Ok(match check_ticket(&house, &request, &token) {
            Ok(_) => no_handshake(),
            Err(reason) => refuse(&house, reason),
        });
    }
    let Some(opener) = open(&house, &request) else {
        return Ok(too_many(&house));
    };
    // Refused before the upgrade and before any model socket: a stranger costs nothing.
    match admit(&house, &request, &token).await {
        Ok(Admitted::Seat(seat)) => {
            switchboard_actors::twilio::take_seat(seat, Box::new(opener), &request, stream)
        }
        Ok(Admitted::New(claimed)) => {
            let Claimed {
                key,
                mut visit,
                early,
            } = *claimed;
            let place = house.place(key);
            if matches!(visit.tenure, Tenure::Due) {
                visit.tenure = takeover::take_over(&house, visit.call).await;
            }
            let agent = (visit.agent.clone(), visit.reading);
            let seed = house.seed(place, (Some(visit), early), agent, opener, &dialler.0);
            switchboard_actors::twilio::accept(seed, &request, stream)
        }
        Err(reason) => Ok(refuse(&house, reason)),
    }
}

/// Without one, in dev mode only.
pub(crate) async fn without_ticket(
    house: web::Data<House>,
    dialler: web::Data<DiallerOfThread>,
    request: HttpRequest,
    stream: web::Payload,
) -> Result<HttpResponse, Error> {
    if !house.settings.is_dev() {
        return Ok(refuse(&house, "no_ticket"));
    }
    if request.method() == Method::HEAD {
        return Ok(no_handshake());
    }
    let Some(opener) = open(&house, &request) else {
        return Ok(too_many(&house));
    };
    match house.ask(WalkIn).await {
        Some(Ok(key)) => {
            let place = house.place(key);
            let agent = house.who_answers("", None, None).await;
            let (choices, other_urls) = house.choices(agent.1).await;
            let mut seed = house.seed(place, (None, None), agent, opener, &dialler.0);
            // Whoever writes such TwiML himself says in it who answers.
            seed.choices = Arc::new(choices);
            seed.other_urls = other_urls;
            switchboard_actors::twilio::accept(seed, &request, stream)
        }
        Some(Err(refused)) => Ok(refuse(&house, refused.label())),
        None => Ok(refuse(&house, "registry_silent")),
    }
}

/// The model dialler of this worker thread; `awc` clients do not leave it.
pub(crate) struct DiallerOfThread(pub(crate) Dialler);

async fn admit(
    house: &House,
    request: &HttpRequest,
    token: &str,
) -> Result<Admitted, &'static str> {
    let call = check_ticket(house, request, token)?;
    let claim = Claim {
        call,
        token: token.to_owned(),
    };
    match house.ask(claim).await.ok_or("registry_silent")? {
        Ok(admitted) => {
            // Another process may have met the same ticket. A store that does not answer is no reason to lose the call:
            // who meets it there gets no answer either, and lets nobody in.
            if takeover::redeem(house, token).await == Ok(false) {
                if let Admitted::New(claimed) = admitted {
                    drop(house.place(claimed.key));
                }
                return Err(USED);
            }
            Ok(admitted)
        }
        Err(ClaimError::Unknown) => {
            let adopted = takeover::adopt(house, call, token).await?;
            match takeover::redeem(house, token).await {
                Ok(true) => Ok(Admitted::New(Box::new(adopted))),
                refused => {
                    drop(house.place(adopted.key));
                    Err(refused.map_or("store_silent", |_| USED))
                }
            }
        }
        Err(error) => Err(error.label()),
    }
}

/// Whose call a ticket opens; nothing is used up by looking.
fn check_ticket(
    house: &House,
    request: &HttpRequest,
    token: &str,
) -> Result<CallSid, &'static str> {
    check_signature(house, request)?;
    let claim = house
        .keyring
        .now()
        .mint
        .verify(token, SystemTime::now())
        .map_err(|error| error.reason())?;
    CallSid::parse(&claim.call_sid).ok_or("malformed_ticket")
}

/// What a request gets that asks for no WebSocket.
fn no_handshake() -> HttpResponse {
    HttpResponse::BadRequest().finish()
}

/// The ticket has opened a socket before.
const USED: &str = "used_ticket";

/// The handshake is signed like a GET, over the `wss://` URL as our TwiML gave it
/// (<https://www.twilio.com/docs/usage/webhooks/webhooks-security>).
fn check_signature(house: &House, request: &HttpRequest) -> Result<(), &'static str> {
    let keys = house.keyring.now();
    if keys.believes_everybody() {
        return Ok(());
    }
    let mode = house.settings.twilio.stream_signature;
    if mode == StreamSignature::Off {
        return Ok(());
    }
    let mut headers = request.headers().get_all("x-twilio-signature");
    let verdict = match (headers.next(), headers.next()) {
        (Some(signature), None) => {
            let urls: Vec<String> = house
                .spellings(request)
                .iter()
                .map(|url| as_socket(url))
                .collect();
            let signature = signature.to_str().unwrap_or_default();
            if keys.is_signed(&urls, Signed::UrlOnly, signature) {
                Ok(())
            } else {
                Err("bad_signature")
            }
        }
        (None, _) => Err("no_signature"),
        (Some(_), Some(_)) => Err("two_signatures"),
    };
    match (verdict, mode) {
        (Err(reason), StreamSignature::Require) => Err(reason),
        (Err(reason), StreamSignature::Log | StreamSignature::Off) => {
            house.refusals.unsigned(reason);
            Ok(())
        }
        (Ok(()), _) => Ok(()),
    }
}

/// Counts the socket until its `start`; `None` if too many wait for theirs.
fn open(house: &House, request: &HttpRequest) -> Option<Opener> {
    house
        .openers
        .open(request.peer_addr().map(|peer| peer.ip()))
}

/// Before anything is asked of anybody. A ticket is not used up by it.
fn too_many(house: &House) -> HttpResponse {
    house.metrics.stream_rejected("too_many_openers");
    house.refusals.socket("too_many_openers");
    HttpResponse::ServiceUnavailable().finish()
}

fn refuse(house: &House, reason: &'static str) -> HttpResponse {
    house.metrics.stream_rejected(reason);
    house.refusals.socket(reason);
    HttpResponse::Forbidden().finish()
}

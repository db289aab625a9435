//! `/media-stream/{token}`: Twilio opens the media socket.

use std::sync::Arc;
use std::time::SystemTime;

use actix_web::http::Method;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use call_protocol::phone::CallSid;
use switchboard_actors::messages::Ownership;
use switchboard_actors::openai::Dialler;
use switchboard_actors::registry::messages::{
    AdmitUnticketed, Admitted, ClaimError, Claimed, RedeemTicket,
};

use super::pending_streams::PendingStream;
use super::twilio::signature::{Signed, is_signed};
use crate::calls::resume;
use crate::service::state::AppState;
use crate::settings::{StreamSignature, as_socket};

/// With a ticket in the path.
pub(crate) async fn with_ticket(
    app: web::Data<AppState>,
    dialler: web::Data<DiallerOfThread>,
    token: web::Path<String>,
    request: HttpRequest,
    stream: web::Payload,
) -> Result<HttpResponse, Error> {
    if request.method() == Method::HEAD {
        return Ok(match check_ticket(&app, &request, &token) {
            Ok(_) => no_handshake(),
            Err(reason) => refuse(&app, reason),
        });
    }
    let Some(pending_stream) = open(&app, &request) else {
        return Ok(too_many(&app));
    };
    // Refused before the upgrade and before any model socket: a stranger costs nothing.
    match admit(&app, &request, &token).await {
        Ok(Admitted::Seat(slot)) => {
            switchboard_actors::twilio::reattach(slot, Box::new(pending_stream), &request, stream)
        }
        Ok(Admitted::New(claimed)) => {
            let Claimed {
                key,
                mut info,
                early,
            } = *claimed;
            let place = app.place(key);
            if matches!(info.ownership, Ownership::Due) {
                info.ownership = resume::take_over(&app, info.call).await;
            }
            let agent = (info.agent.clone(), info.config_snapshot);
            let seed = app.seed(
                place,
                (Some(info), early),
                agent,
                pending_stream,
                &dialler.0,
            );
            switchboard_actors::twilio::accept(seed, &request, stream)
        }
        Err(reason) => Ok(refuse(&app, reason)),
    }
}

/// Without one, in dev mode only.
pub(crate) async fn without_ticket(
    app: web::Data<AppState>,
    dialler: web::Data<DiallerOfThread>,
    request: HttpRequest,
    stream: web::Payload,
) -> Result<HttpResponse, Error> {
    if !app.settings.is_dev() {
        return Ok(refuse(&app, "no_ticket"));
    }
    if request.method() == Method::HEAD {
        return Ok(no_handshake());
    }
    let Some(pending_stream) = open(&app, &request) else {
        return Ok(too_many(&app));
    };
    match app.ask(AdmitUnticketed).await {
        Some(Ok(key)) => {
            let place = app.place(key);
            let agent = app.who_answers("", None, None).await;
            let (choices, other_urls) = app.choices(agent.1).await;
            let mut seed = app.seed(place, (None, None), agent, pending_stream, &dialler.0);
            // TwiML of the operator's own says in it who answers.
            seed.choices = Arc::new(choices);
            seed.other_urls = other_urls;
            switchboard_actors::twilio::accept(seed, &request, stream)
        }
        Some(Err(refused)) => Ok(refuse(&app, refused.label())),
        None => Ok(refuse(&app, "registry_silent")),
    }
}

/// The model dialler of this worker thread; `awc` clients do not leave it.
pub(crate) struct DiallerOfThread(pub(crate) Dialler);

async fn admit(
    app: &AppState,
    request: &HttpRequest,
    token: &str,
) -> Result<Admitted, &'static str> {
    let call = check_ticket(app, request, token)?;
    let claim = RedeemTicket {
        call,
        token: token.to_owned(),
    };
    match app.ask(claim).await.ok_or("registry_silent")? {
        Ok(admitted) => {
            // Another process may have met the same ticket. A store that does not answer is no reason to lose the call:
            // who meets it there gets no answer either, and lets nobody in.
            if resume::redeem(app, token).await == Ok(false) {
                if let Admitted::New(claimed) = admitted {
                    drop(app.place(claimed.key));
                }
                return Err(USED);
            }
            Ok(admitted)
        }
        Err(ClaimError::Unknown) => {
            let adopted = resume::adopt(app, call, token).await?;
            match resume::redeem(app, token).await {
                Ok(true) => Ok(Admitted::New(Box::new(adopted))),
                refused => {
                    drop(app.place(adopted.key));
                    Err(refused.map_or("store_silent", |_| USED))
                }
            }
        }
        Err(error) => Err(error.label()),
    }
}

/// Whose call a ticket opens; nothing is used up by looking.
fn check_ticket(
    app: &AppState,
    request: &HttpRequest,
    token: &str,
) -> Result<CallSid, &'static str> {
    check_signature(app, request)?;
    let claim = app
        .keyring
        .now()
        .issuer
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
fn check_signature(app: &AppState, request: &HttpRequest) -> Result<(), &'static str> {
    let keys = app.keyring.now();
    let Some(tokens) = keys.of_twilio() else {
        return Ok(());
    };
    let mode = app.settings.twilio.stream_signature;
    if mode == StreamSignature::Off {
        return Ok(());
    }
    let mut headers = request.headers().get_all("x-twilio-signature");
    let verdict = match (headers.next(), headers.next()) {
        (Some(signature), None) => {
            let urls: Vec<String> = app
                .spellings(request)
                .iter()
                .map(|url| as_socket(url))
                .collect();
            let signature = signature.to_str().unwrap_or_default();
            if is_signed(tokens, &urls, Signed::UrlOnly, signature) {
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
            app.refusals.unsigned(reason);
            Ok(())
        }
        (Ok(()), _) => Ok(()),
    }
}

/// Counts the socket until its `start`; `None` if too many wait for theirs.
fn open(app: &AppState, request: &HttpRequest) -> Option<PendingStream> {
    app.pending_streams
        .open(request.peer_addr().map(|peer| peer.ip()))
}

/// Before anything is asked of anybody. A ticket is not used up by it.
fn too_many(app: &AppState) -> HttpResponse {
    app.metrics.stream_rejected("too_many_openers");
    app.refusals.socket("too_many_openers");
    HttpResponse::ServiceUnavailable().finish()
}

fn refuse(app: &AppState, reason: &'static str) -> HttpResponse {
    app.metrics.stream_rejected(reason);
    app.refusals.socket(reason);
    HttpResponse::Forbidden().finish()
}

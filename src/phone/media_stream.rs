//! `/media-stream/{token}`: Twilio opens the media socket.

use actix_web::http::Method;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use call_protocol::phone::CallSid;
use switchboard_actors::openai::Dialler;
use switchboard_actors::twilio::{accept, reattach};

use super::pending_streams::PendingStream;
use super::state::PhoneState;
use super::twilio::signature::{Signed, is_signed};
use crate::calls::media_slot::{Opened, call_of, open, open_unticketed};
use crate::settings::{Secrets, StreamSignature, as_socket};

/// The model dialler of this worker thread; `awc` clients do not leave it.
pub(crate) struct DiallerOfThread(pub(crate) Dialler);

/// With a ticket in the path.
pub(crate) async fn with_ticket(
    state: web::Data<PhoneState>,
    dialler: web::Data<DiallerOfThread>,
    token: web::Path<String>,
    request: HttpRequest,
    stream: web::Payload,
) -> Result<HttpResponse, Error> {
    if request.method() == Method::HEAD {
        let looked = looked_at(&state, &request, &token);
        return Ok(looked.map_or_else(|reason| refuse(&state, reason), |_| no_handshake()));
    }
    let Some(pending) = pending(&state, &request) else {
        return Ok(too_many(&state));
    };
    // Refused before the upgrade and before any model socket: a stranger costs nothing.
    let opened = match looked_at(&state, &request, &token) {
        Ok(call) => open(&state.calls, call, &token, &dialler.0, Box::new(pending)).await,
        Err(reason) => Err(reason),
    };
    match opened {
        Ok(Opened::Slot(slot, pending)) => reattach(slot, pending, &request, stream),
        Ok(Opened::Call(seed)) => accept(*seed, &request, stream),
        Err(reason) => Ok(refuse(&state, reason)),
    }
}

/// Without one, in dev mode only.
pub(crate) async fn without_ticket(
    state: web::Data<PhoneState>,
    dialler: web::Data<DiallerOfThread>,
    request: HttpRequest,
    stream: web::Payload,
) -> Result<HttpResponse, Error> {
    if !state.address.is_dev() {
        return Ok(refuse(&state, "no_ticket"));
    }
    if request.method() == Method::HEAD {
        return Ok(no_handshake());
    }
    let Some(pending) = pending(&state, &request) else {
        return Ok(too_many(&state));
    };
    match open_unticketed(&state.calls, &dialler.0, Box::new(pending)).await {
        Ok(seed) => accept(seed, &request, stream),
        Err(reason) => Ok(refuse(&state, reason)),
    }
}

/// Whose call the ticket opens; nothing is used up by looking.
fn looked_at(
    state: &PhoneState,
    request: &HttpRequest,
    token: &str,
) -> Result<CallSid, &'static str> {
    check_signature(state, request)?;
    call_of(&state.calls, token)
}

/// What a request gets that asks for no WebSocket.
fn no_handshake() -> HttpResponse {
    HttpResponse::BadRequest().finish()
}

fn check_signature(state: &PhoneState, request: &HttpRequest) -> Result<(), &'static str> {
    let keys = state.keyring.now();
    let (Some(tokens), mode) = (keys.of_twilio(), state.stream_signature) else {
        return Ok(());
    };
    if mode == StreamSignature::Off {
        return Ok(());
    }
    match (signature(state, request, tokens), mode) {
        (Err(reason), StreamSignature::Require) => Err(reason),
        (Err(reason), StreamSignature::Log | StreamSignature::Off) => {
            state.refusals.unsigned(reason);
            Ok(())
        }
        (Ok(()), _) => Ok(()),
    }
}

/// The handshake is signed like a GET, over the `wss://` URL as our TwiML gave it
/// (<https://www.twilio.com/docs/usage/webhooks/webhooks-security>).
fn signature(
    state: &PhoneState,
    request: &HttpRequest,
    tokens: &Secrets,
) -> Result<(), &'static str> {
    let mut headers = request.headers().get_all("x-twilio-signature");
    let given = match (headers.next(), headers.next()) {
        (Some(given), None) => given.to_str().unwrap_or_default(),
        (None, _) => return Err("no_signature"),
        (Some(_), Some(_)) => return Err("two_signatures"),
    };
    let urls = state.address.spellings(request);
    let urls: Vec<String> = urls.iter().map(|url| as_socket(url)).collect();
    let is_signed = is_signed(tokens, &urls, Signed::UrlOnly, given);
    is_signed.then_some(()).ok_or("bad_signature")
}

/// Counts the socket until its `start`; `None` if too many wait for theirs.
fn pending(state: &PhoneState, request: &HttpRequest) -> Option<PendingStream> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    state.pending_streams.open(peer)
}

/// Before anything is asked of anybody. A ticket is not used up by it.
fn too_many(state: &PhoneState) -> HttpResponse {
    state.socket_refused("too_many_openers");
    HttpResponse::ServiceUnavailable().finish()
}

fn refuse(state: &PhoneState, reason: &'static str) -> HttpResponse {
    state.socket_refused(reason);
    HttpResponse::Forbidden().finish()
}

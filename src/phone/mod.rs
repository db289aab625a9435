//! What Twilio calls: webhooks, the media socket, callbacks, health.

use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use crate::listener::origin;
use crate::listener::watch::Watch;
use crate::routes::{Served, get, post, resources};

pub(crate) mod address;
mod health;
pub(crate) mod media_stream;
pub(crate) mod pending_streams;
pub(crate) mod state;
pub mod twilio;

use state::PhoneState;
use twilio::{after_dial, after_stream, callbacks, consult, incoming_call, whisper};

/// What is refused whatever is asked for. Where signatures and tickets are not looked at, a page from elsewhere must not
/// ring, or open a media socket, in the name of whoever looks at it; and on the last descriptors only the service's health
/// is told.
pub(crate) async fn gate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let state = request.app_data::<web::Data<PhoneState>>();
    let refused =
        state.and_then(|state| foreign(state, &request).or_else(|| spared(state, &request)));
    match refused {
        Some(answer) => Ok(request.into_response(answer)),
        None => Ok(next.call(request).await?.map_into_boxed_body()),
    }
}

/// Refuses what a page from elsewhere had a browser send.
fn foreign(state: &PhoneState, request: &ServiceRequest) -> Option<HttpResponse> {
    let names = state.address.names()?;
    let reason = origin::check(request.headers(), names).err()?.reason();
    let answer = HttpResponse::Forbidden().force_close().finish();
    if request.path().starts_with("/media-stream") {
        state.socket_refused(reason);
    } else {
        state.webhook_refused(reason, answer.status(), request.path());
    }
    Some(answer)
}

/// The last descriptors are kept: what a call needs besides this one is not to be had.
fn spared(state: &PhoneState, request: &ServiceRequest) -> Option<HttpResponse> {
    let watch = request.conn_data::<Rc<Watch>>()?;
    if !watch.is_spare() || matches!(request.path(), "/healthz" | "/readyz") {
        return None;
    }
    let answer = HttpResponse::ServiceUnavailable().force_close().finish();
    state.webhook_refused("no_descriptors", answer.status(), request.path());
    Some(answer)
}

/// Every route of the public listener.
const ROUTES: &[Served] = &[
    post("/incoming-call", || web::route().to(incoming_call::handle)),
    get("/incoming-call", || web::route().to(incoming_call::handle)),
    get("/media-stream", || {
        web::route().to(media_stream::without_ticket)
    }),
    get("/media-stream/{token}", || {
        web::route().to(media_stream::with_ticket)
    }),
    post("/after-stream", || web::route().to(after_stream::handle)),
    post("/after-dial", || web::route().to(after_dial::handle)),
    post("/briefing", || web::route().to(whisper::handle)),
    post("/briefing-key", || web::route().to(whisper::key)),
    post("/person-status", || web::route().to(consult::status)),
    post("/stream-status", || {
        web::route().to(callbacks::stream_status)
    }),
    post("/call-status", || web::route().to(callbacks::call_status)),
    get("/healthz", || web::route().to(health::healthz)),
    get("/readyz", || web::route().to(health::readyz)),
];

/// Method and path of every route of the public listener, for tests that leave none out.
pub fn public_routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of = |served: &'static Served| (served.method.as_str(), served.path);
    ROUTES.iter().map(of)
}

/// The public listener.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    for resource in resources(ROUTES, || HttpResponse::MethodNotAllowed().finish()) {
        config.service(resource);
    }
}

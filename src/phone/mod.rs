//! What Twilio calls: webhooks, the media socket, callbacks, health.

use actix_web::{HttpResponse, web};

use crate::routes::{Served, get, post, resources};

mod after_dial;
mod after_stream;
mod answer;
mod briefing;
mod callbacks;
pub(crate) mod caller;
pub mod form;
mod health;
mod incoming_call;
pub(crate) mod language;
mod limit;
pub(crate) mod media_stream;
pub(crate) mod openers;
pub(crate) mod person;
pub mod signature;
mod takeover;
pub mod ticket;
pub mod twiml;
mod webhook;

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
    post("/briefing", || web::route().to(briefing::handle)),
    post("/briefing-key", || web::route().to(briefing::key)),
    post("/person-status", || web::route().to(person::status)),
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

//! What Twilio calls: webhooks, the media socket, callbacks, health.

use actix_web::web;

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
pub(crate) mod media_stream;
pub(crate) mod openers;
pub(crate) mod person;
pub mod signature;
mod takeover;
pub mod ticket;
pub mod twiml;
mod webhook;

/// The routes of the public listener.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/incoming-call")
                .route(web::post().to(incoming_call::handle))
                .route(web::get().to(incoming_call::handle)),
        )
        .route("/media-stream", web::get().to(media_stream::without_ticket))
        .route(
            "/media-stream/{token}",
            web::get().to(media_stream::with_ticket),
        )
        .route("/after-stream", web::post().to(after_stream::handle))
        .route("/after-dial", web::post().to(after_dial::handle))
        .route("/briefing", web::post().to(briefing::handle))
        .route("/briefing-key", web::post().to(briefing::key))
        .route("/person-status", web::post().to(person::status))
        .route("/stream-status", web::post().to(callbacks::stream_status))
        .route("/call-status", web::post().to(callbacks::call_status))
        .route("/healthz", web::get().to(health::healthz))
        .route("/readyz", web::get().to(health::readyz));
}

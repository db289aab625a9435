//! What Twilio calls: webhooks, the media socket, callbacks, health.

use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use crate::listener::origin;
use crate::listener::watch::Watch;
use crate::routes::{Served, get, post, resources};
use crate::service::state::AppState;

mod health;
pub(crate) mod media_stream;
pub(crate) mod pending_streams;
pub mod twilio;

use twilio::{after_dial, after_stream, callbacks, consult, incoming_call, whisper};

/// What is refused whatever is asked for. Where signatures and tickets are not looked at, a page from elsewhere must not
/// ring, or open a media socket, in the name of whoever looks at it; and on the last descriptors only the service's health
/// is told.
pub(crate) async fn gate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let app = request.app_data::<web::Data<AppState>>();
    let names = app.and_then(|app| Some((app, app.public_names()?)));
    if let Some((app, names)) = names
        && let Err(foreign) = origin::check(request.headers(), names)
    {
        let answer = HttpResponse::Forbidden().force_close().finish();
        if request.path().starts_with("/media-stream") {
            app.metrics.stream_rejected(foreign.reason());
            app.refusals.socket(foreign.reason());
        } else {
            app.metrics.webhook_rejected(foreign.reason());
            let path = request.path();
            app.refusals
                .webhook(foreign.reason(), answer.status(), path);
        }
        return Ok(request.into_response(answer));
    }
    let is_spare = |watch: &Rc<Watch>| watch.is_spare();
    if request.conn_data::<Rc<Watch>>().is_some_and(is_spare)
        && !matches!(request.path(), "/healthz" | "/readyz")
        && let Some(app) = app
    {
        // The last descriptors are kept: what a call needs besides this one is not to be had.
        let answer = HttpResponse::ServiceUnavailable().force_close().finish();
        app.metrics.webhook_rejected("no_descriptors");
        let path = request.path();
        app.refusals
            .webhook("no_descriptors", answer.status(), path);
        return Ok(request.into_response(answer));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
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

//! `/after-stream`: the media socket is closed and the caller still there; what comes next?

use actix_web::{HttpRequest, HttpResponse, web};

use super::twiml::Response;
use super::webhook::Webhook;
use super::{answer, caller};
use crate::calls::resume;
use crate::phone::state::PhoneState;

pub(crate) async fn handle(
    state: web::Data<PhoneState>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    let waited = waited(&request);
    answer::twiml(&what_follows(&state, &request, &webhook, waited).await)
}

/// How often Twilio was asked to wait for another process.
fn waited(request: &HttpRequest) -> u8 {
    let waited = request.query_string().strip_prefix("waited=");
    waited.and_then(|times| times.parse().ok()).unwrap_or(0)
}

/// What the caller meets next.
pub(crate) async fn what_follows(
    state: &PhoneState,
    request: &HttpRequest,
    webhook: &Webhook,
    waited: u8,
) -> Response {
    let ringing = caller::ringing(request, webhook);
    let is_over = webhook.is_over();
    let (agent, next) = resume::after_stream(&state.calls, &ringing, is_over).await;
    let asked_at = ("/after-stream", waited);
    answer::next(&state.address, &agent, webhook.call, next, asked_at)
}

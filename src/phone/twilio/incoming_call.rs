//! `/incoming-call`: somebody rings.

use actix_web::{HttpRequest, HttpResponse, web};
use switchboard_actors::failpoints;

use super::webhook::Webhook;
use super::{after_dial, after_stream, answer, caller};
use crate::calls::admit::{self, Answer};
use crate::phone::media_stream::DiallerOfThread;
use crate::phone::state::PhoneState;

pub(crate) async fn handle(
    state: web::Data<PhoneState>,
    dialler: web::Data<DiallerOfThread>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    failpoints::hit("phone.webhook", "");
    // The number's fallback URL may lead here, too: then Twilio says which request had failed, perhaps in mid-call
    // (<https://www.twilio.com/docs/api/errors/11200>).
    if let Some(failed) = webhook.form.get("ErrorUrl") {
        return answer::twiml(&if after_dial::is_at(&state.address, failed) {
            after_dial::what_follows(&state, &request, &webhook).await
        } else {
            after_stream::what_follows(&state, &request, &webhook, 0).await
        });
    }
    let ringing = caller::ringing(&request, &webhook);
    let (agent, answer) = admit::answer(&state.calls, &ringing, &dialler.0).await;
    answer::twiml(&match answer {
        Answer::Connect { token } => answer::connect(&state.address, &agent, &token),
        Answer::TurnedAway { leaves } => answer::turned_away(&state.address, &agent, leaves),
        Answer::Busy => answer::busy(),
    })
}

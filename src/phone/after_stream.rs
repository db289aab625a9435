//! `/after-stream`: the media socket is closed and the caller still there; what comes next?

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::call::end::Aftermath;
use switchboard_actors::messages::HowEnded;

use super::twiml::Response;
use super::webhook::Webhook;
use super::{answer, incoming_call};
use crate::house::House;

pub(crate) async fn handle(
    house: web::Data<House>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    let webhook = match Webhook::read(&house, &request, body).await {
        Ok(webhook) => webhook,
        Err(answer) => return answer,
    };
    let ending = house.ask(HowEnded(webhook.call)).await.flatten();
    // A call this process does not know was another's, and goes on here.
    let aftermath = ending.as_ref().and_then(|ending| ending.reason).map_or(
        Aftermath::Reconnect,
        call_protocol::call::end::EndReason::aftermath,
    );
    let target = ending
        .as_ref()
        .and_then(|ending| ending.transfer_to.clone());
    let visit = match ending {
        Some(ending) => ending.visit,
        None => incoming_call::visit(&house, &request, &webhook).await,
    };
    let agent = house.answering(&visit);
    let document = match aftermath {
        Aftermath::HangUp => Response::new().hangup(),
        Aftermath::Transfer => answer::transfer(&agent, target.as_deref()),
        Aftermath::Fallback => answer::fallback(&agent),
        Aftermath::Reconnect => match incoming_call::arrive(&house, visit, true).await {
            Ok(arrived) => answer::connect(&house, &agent, &arrived.token),
            Err(reason) => {
                house.metrics.admission_rejected(reason);
                answer::fallback(&agent)
            }
        },
    };
    log::info!(target: "switchboard::phone", call_sid = webhook.call.as_str(), next:? = aftermath; "after the stream");
    answer::twiml(&document)
}

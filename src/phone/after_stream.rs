//! `/after-stream`: the media socket is closed and the caller still there; what comes next?

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::call::end::{Aftermath, EndReason};
use call_protocol::call::person::Stage;
use switchboard_actors::messages::{HowEnded, Refused, Tenure};

use super::twiml::Response;
use super::webhook::Webhook;
use super::{answer, incoming_call, person, takeover};
use crate::house::House;

pub(crate) async fn handle(
    house: web::Data<House>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    let waited = waited(&request);
    answer::twiml(&what_follows(&house, &request, &webhook, waited).await)
}

/// How often Twilio was asked to wait for another process.
fn waited(request: &HttpRequest) -> u8 {
    let waited = request.query_string().strip_prefix("waited=");
    waited.and_then(|times| times.parse().ok()).unwrap_or(0)
}

/// What the caller meets next, by what this process knows of the call, or else by what another one wrote down.
pub(crate) async fn what_follows(
    house: &House,
    request: &HttpRequest,
    webhook: &Webhook,
    waited: u8,
) -> Response {
    let ending = house.ask(HowEnded(webhook.call)).await.flatten();
    let reason = ending.as_ref().and_then(|ending| ending.reason);
    let here = reason.map_or(Aftermath::Reconnect, EndReason::aftermath);
    let mut target = ending
        .as_ref()
        .and_then(|ending| ending.transfer_to.clone());
    let mut awaited_by = ending.as_ref().and_then(|ending| ending.awaited_by);
    let mut visit = match ending {
        Some(ending) => ending.visit,
        None => incoming_call::visit(house, request, webhook).await,
    };
    // A process that leaves takes nothing over: the next one would have to take it over again.
    if here == Aftermath::Reconnect && house.is_draining() {
        house.metrics.admission_rejected(Refused::Draining.label());
        return answer::elsewhere(house, &house.answering(&visit), "/after-stream", waited);
    }
    let mut aftermath = here;
    let mut left = None;
    if here == Aftermath::Reconnect {
        visit.tenure = Tenure::Due;
        left = takeover::look(house, webhook.call).await;
        if let Some(checkpoint) = &left {
            let (there, to) = checkpoint.aftermath();
            aftermath = there;
            target = to.cloned();
            let person = checkpoint.person.as_ref();
            awaited_by = person
                .filter(|person| person.stage == Stage::Waiting)
                .map(|person| person.attempt);
            if let Some(person) = person.filter(|_| webhook.is_over()) {
                person::let_go(house, webhook.call, person);
            }
            takeover::same_agent(house, webhook, &mut visit, &checkpoint.agent).await;
        }
    }
    let agent = house.answering(&visit);
    log::info!(target: "switchboard::phone", call_sid = webhook.call.as_str(), next:? = aftermath; "after the stream");
    match aftermath {
        Aftermath::HangUp => Response::new().hangup(),
        Aftermath::Transfer => {
            answer::transfer(house, &agent, webhook.call, target.as_ref(), awaited_by)
        }
        Aftermath::Fallback => answer::fallback(&agent),
        Aftermath::Reconnect => match incoming_call::come_again(house, visit, left).await {
            Ok(arrived) => answer::connect(house, &agent, &arrived.token),
            Err(reason) => {
                house.metrics.admission_rejected(reason);
                answer::fallback(&agent)
            }
        },
    }
}

//! `/incoming-call`: somebody rings.

use actix_web::{HttpRequest, HttpResponse, web};
use switchboard_actors::messages::{Arrive, Refused, Visit};

use super::answer;
use super::webhook::Webhook;
use crate::house::{House, REGISTRY_ANSWERS};
use crate::telemetry::mask_number;

pub(crate) async fn handle(
    house: web::Data<House>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    let webhook = match Webhook::read(&house, &request, body).await {
        Ok(webhook) => webhook,
        Err(answer) => return answer,
    };
    let visit = visit(&house, &webhook);
    let agent = visit.agent.name.clone();
    match arrive(&house, visit, false).await {
        Ok(token) => answer::twiml(&answer::connect(&house, &agent, &token)),
        Err(reason) => {
            house.metrics.admission_rejected(reason);
            log::warn!(target: "switchboard::phone", call_sid = webhook.call.as_str(), reason; "call turned away");
            answer::twiml(&answer::turned_away(&house, &agent))
        }
    }
}

/// Who calls, and who answers.
pub(crate) fn visit(house: &House, webhook: &Webhook) -> Visit {
    let to = webhook.form.get("To");
    let outbound = webhook
        .form
        .get("Direction")
        .is_some_and(|direction| direction.starts_with("outbound"));
    Visit {
        call: webhook.call,
        from: webhook.form.get("From").map(mask_number),
        to: to.map(|number| {
            number
                .chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect()
        }),
        direction: if outbound { "outbound" } else { "inbound" },
        agent: house.profile_for(to.unwrap_or_default()),
    }
}

/// Keeps a place for the call; gives its media token, or the reason why there is none.
pub(crate) async fn arrive(
    house: &House,
    visit: Visit,
    again: bool,
) -> Result<String, &'static str> {
    let now = std::time::SystemTime::now();
    let token = house.mint.mint(visit.call.as_str(), now).map_err(|error| {
        log::error!(target: "switchboard::phone", error:% = error; "cannot mint a ticket");
        "no_ticket"
    })?;
    let asked = actix::clock::timeout(
        REGISTRY_ANSWERS,
        house.registry.send(Arrive {
            visit,
            token,
            again,
        }),
    )
    .await;
    match asked {
        Ok(Ok(answer)) => answer.map_err(Refused::label),
        Ok(Err(_)) | Err(_) => Err("registry_silent"),
    }
}

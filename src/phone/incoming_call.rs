//! `/incoming-call`: somebody rings.

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::ids::CallSid;
use switchboard_actors::call::Shared;
use switchboard_actors::messages::{Arrive, Arrived, Keep, Refused, Visit};
use switchboard_actors::openai::ModelLine;

use super::form::Form;
use super::media_stream::DiallerOfThread;
use super::webhook::Webhook;
use super::{answer, caller};
use crate::answering::Answering;
use crate::house::House;
use crate::settings::DialAt;
use crate::telemetry::mask_number;

pub(crate) async fn handle(
    house: web::Data<House>,
    dialler: web::Data<DiallerOfThread>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    let webhook = match Webhook::read(&house, &request, body).await {
        Ok(webhook) => webhook,
        Err(answer) => return answer,
    };
    let visit = visit(&house, &request, &webhook).await;
    let agent = house.answering(&visit);
    match arrive(&house, visit, false).await {
        Ok(arrived) => {
            if arrived.first && house.settings.openai.dial == DialAt::Webhook {
                dial_early(&house, &dialler, webhook.call, &agent);
            }
            answer::twiml(&answer::connect(&house, &agent, &arrived.token))
        }
        Err(reason) => {
            house.metrics.admission_rejected(reason);
            log::warn!(target: "switchboard::phone", call_sid = webhook.call.as_str(), reason; "call turned away");
            answer::twiml(&answer::turned_away(&agent))
        }
    }
}

/// Opens the model session while Twilio still opens the media socket; it is closed if that does not come.
fn dial_early(house: &House, dialler: &DiallerOfThread, call: CallSid, agent: &Answering) {
    let shared = Shared::new(house.metrics.clone(), None);
    let early = ModelLine::early(&agent.model_url(), &dialler.0, &shared);
    house.registry.do_send(Keep { call, early });
}

/// Who calls, and who answers: the agent that the webhook's own URL names (`/incoming-call?agent=spa`), or else the
/// number's. The query is part of what Twilio signs.
pub(crate) async fn visit(house: &House, request: &HttpRequest, webhook: &Webhook) -> Visit {
    let to = webhook.form.get("To");
    let from = webhook.form.get("From");
    let outbound = webhook
        .form
        .get("Direction")
        .is_some_and(|direction| direction.starts_with("outbound"));
    let query = Form::from_query(request.query_string()).ok();
    let named = query.as_ref().and_then(|query| query.get("agent"));
    let called = to.unwrap_or_default();
    let (agent, reading) = house.who_answers(called, named, caller::number(from)).await;
    Visit {
        call: webhook.call,
        from: from.map(mask_number),
        to: to.map(|number| {
            number
                .chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect()
        }),
        direction: if outbound { "outbound" } else { "inbound" },
        agent,
        reading,
    }
}

/// Keeps a place for the call; gives its media token, or the reason why there is none.
pub(crate) async fn arrive(
    house: &House,
    visit: Visit,
    again: bool,
) -> Result<Arrived, &'static str> {
    let now = std::time::SystemTime::now();
    let token = house.mint.mint(visit.call.as_str(), now).map_err(|error| {
        log::error!(target: "switchboard::phone", error:% = error; "cannot mint a ticket");
        "no_ticket"
    })?;
    let question = Arrive {
        visit,
        token,
        again,
    };
    let answer = house.ask(question).await.ok_or("registry_silent")?;
    answer.map_err(Refused::label)
}

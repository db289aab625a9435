//! `/incoming-call`: somebody rings.

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::checkpoint::Checkpoint;
use call_protocol::ids::CallSid;
use switchboard_actors::call::Shared;
use switchboard_actors::messages::{Arrive, Arrived, CallerNumber, Keep, Refused, Tenure, Visit};
use switchboard_actors::openai::ModelLine;

use super::form::Form;
use super::media_stream::DiallerOfThread;
use super::webhook::Webhook;
use super::{after_dial, after_stream, answer, caller, limit, takeover};
use crate::answering::Answering;
use crate::house::House;
use crate::settings::DialAt;
use crate::telemetry::mask_number;

pub(crate) async fn handle(
    house: web::Data<House>,
    dialler: web::Data<DiallerOfThread>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    #[cfg(feature = "fault-hook")]
    house.strike_webhook();
    // The number's fallback URL may lead here, too: then Twilio says which request had failed, perhaps in mid-call
    // (<https://www.twilio.com/docs/api/errors/11200>).
    if let Some(failed) = webhook.form.get("ErrorUrl") {
        if after_dial::is_at(&house, failed) {
            return answer::twiml(&after_dial::what_follows(&house, &request, &webhook).await);
        }
        return answer::twiml(&after_stream::what_follows(&house, &request, &webhook, 0).await);
    }
    let visit = visit(&house, &request, &webhook).await;
    let agent = house.answering(&visit);
    if let Err(too_many) = limit::ring(&house, &visit).await {
        let reason = Refused::NumberCalls.label();
        house.metrics.admission_rejected(reason);
        log::debug!(target: "switchboard::phone", call_sid = webhook.call.as_str(), reason; "call turned away");
        return answer::twiml(&if too_many.is_flood {
            answer::busy()
        } else {
            answer::turned_away(&house, &agent, reason)
        });
    }
    match arrive(&house, visit).await {
        Ok(arrived) => {
            if arrived.first && house.settings.openai.dial == DialAt::Webhook {
                dial_early(&house, &dialler, webhook.call, &agent);
            }
            answer::twiml(&answer::connect(&house, &agent, &arrived.token))
        }
        Err(reason) => {
            limit::unring(&house, webhook.call);
            house.metrics.admission_rejected(reason);
            log::warn!(target: "switchboard::phone", call_sid = webhook.call.as_str(), reason; "call turned away");
            answer::twiml(&answer::turned_away(&house, &agent, reason))
        }
    }
}

/// Opens the model session while Twilio still opens the media socket; it is closed if that does not come.
fn dial_early(house: &House, dialler: &DiallerOfThread, call: CallSid, agent: &Answering) {
    let shared = Shared::new(house.metrics.clone(), house.gate.clone(), None);
    let early = ModelLine::early(&agent.model_url(), &dialler.0, &shared);
    house.registry.do_send(Keep { call, early });
}

/// Who calls, and who answers: the agent that the webhook's own URL names (`/incoming-call?agent=spa`), or else the
/// number's. The query is part of what Twilio signs.
pub(crate) async fn visit(house: &House, request: &HttpRequest, webhook: &Webhook) -> Visit {
    let to = webhook.form.get("To");
    let from = webhook.form.get("From");
    let outbound = is_outbound(webhook);
    let query = Form::from_query(request.query_string()).ok();
    let named = query.as_ref().and_then(|query| query.get("agent"));
    let called = to.unwrap_or_default();
    let believed = believed(house, webhook);
    let (agent, reading) = house
        .who_answers(called, named, caller::number(believed))
        .await;
    Visit {
        call: webhook.call,
        from: from.map(mask_number),
        number: CallerNumber(clean(believed.unwrap_or_default())),
        to: to.map(clean),
        direction: if outbound { "outbound" } else { "inbound" },
        agent,
        reading,
        tenure: Tenure::First,
    }
}

/// The number the call comes from, unless the settings want one that somebody vouches for: any other can be written by
/// anybody.
pub(crate) fn believed<'a>(house: &House, webhook: &'a Webhook) -> Option<&'a str> {
    let is_believed = is_outbound(webhook)
        || !house.book_rules().verified_only
        || caller::is_attested(webhook.form.get("StirVerstat"));
    webhook.form.get("From").filter(|_| is_believed)
}

fn is_outbound(webhook: &Webhook) -> bool {
    let direction = webhook.form.get("Direction");
    direction.is_some_and(|direction| direction.starts_with("outbound"))
}

/// A number as Twilio wrote it, without what cannot stand in one.
fn clean(number: &str) -> String {
    let printable = number.chars().filter(|c| !c.is_control());
    printable.take(64).collect()
}

/// Keeps a place for a new call; gives its media token, or the reason why there is none.
pub(crate) async fn arrive(house: &House, visit: Visit) -> Result<Arrived, &'static str> {
    let arrived = keep_place(house, visit.clone(), false, false).await?;
    if arrived.first {
        takeover::announce(house, &visit, &arrived.token, None).await;
    }
    Ok(arrived)
}

/// The same for a call that was here, or elsewhere, before; `left` is what its owner wrote down last.
pub(crate) async fn come_again(
    house: &House,
    visit: Visit,
    left: Option<Checkpoint>,
) -> Result<Arrived, &'static str> {
    let renew = left
        .as_ref()
        .is_some_and(|checkpoint| checkpoint.ticket.is_none());
    let arrived = keep_place(house, visit.clone(), true, renew).await?;
    if arrived.first {
        takeover::announce(house, &visit, &arrived.token, left).await;
    }
    Ok(arrived)
}

async fn keep_place(
    house: &House,
    visit: Visit,
    again: bool,
    renew: bool,
) -> Result<Arrived, &'static str> {
    let now = std::time::SystemTime::now();
    let mint = &house.keyring.now().mint;
    let token = mint.mint(visit.call.as_str(), now).map_err(|error| {
        log::error!(target: "switchboard::phone", error:% = error; "cannot mint a ticket");
        "no_ticket"
    })?;
    let most_of_agent = house.answering(&visit).max_calls();
    let exempt = house
        .callers()
        .is_exempt(caller::number(Some(&visit.number.0)));
    let question = Arrive {
        exempt,
        visit,
        token,
        again,
        renew,
        most_of_agent,
    };
    let answer = house.ask(question).await.ok_or("registry_silent")?;
    answer.map_err(Refused::label)
}

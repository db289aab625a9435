//! `/incoming-call`: somebody rings.

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::checkpoint::Checkpoint;
use call_protocol::phone::{CallSid, Direction};
use switchboard_actors::call::Shared;
use switchboard_actors::messages::{CallInfo, CallerNumber, Ownership};
use switchboard_actors::openai::ModelLine;
use switchboard_actors::registry::messages::{Announce, Arrived, AttachSession, Refused};

use super::form::Form;
use super::webhook::Webhook;
use super::{after_dial, after_stream, answer, caller};
use crate::agents::routing::Answering;
use crate::calls::{limit, resume};
use crate::phone::media_stream::DiallerOfThread;
use crate::service::state::AppState;
use crate::settings::DialAt;
use switchboard_base::number::{callable, mask};

pub(crate) async fn handle(
    app: web::Data<AppState>,
    dialler: web::Data<DiallerOfThread>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    #[cfg(feature = "fault-hook")]
    app.strike_webhook();
    // The number's fallback URL may lead here, too: then Twilio says which request had failed, perhaps in mid-call
    // (<https://www.twilio.com/docs/api/errors/11200>).
    if let Some(failed) = webhook.form.get("ErrorUrl") {
        if after_dial::is_at(&app, failed) {
            return answer::twiml(&after_dial::what_follows(&app, &request, &webhook).await);
        }
        return answer::twiml(&after_stream::what_follows(&app, &request, &webhook, 0).await);
    }
    let info = info(&app, &request, &webhook).await;
    let agent = app.answering(&info);
    if let Err(too_many) = limit::ring(&app, &info).await {
        let reason = Refused::NumberCalls.label();
        app.metrics.admission_rejected(reason);
        log::debug!(target: "switchboard::phone", call_sid = webhook.call.as_str(), reason; "call turned away");
        return answer::twiml(&if too_many.is_flood {
            answer::busy()
        } else {
            answer::turned_away(&app, &agent, reason)
        });
    }
    match arrive(&app, info).await {
        Ok(arrived) => {
            if arrived.first && app.settings.openai.dial == DialAt::Webhook {
                dial_early(&app, &dialler, webhook.call, &agent);
            }
            answer::twiml(&answer::connect(&app, &agent, &arrived.token))
        }
        Err(reason) => {
            limit::unring(&app, webhook.call);
            app.metrics.admission_rejected(reason);
            log::warn!(target: "switchboard::phone", call_sid = webhook.call.as_str(), reason; "call turned away");
            answer::twiml(&answer::turned_away(&app, &agent, reason))
        }
    }
}

/// Opens the model session while Twilio still opens the media socket; it is closed if that does not come.
fn dial_early(app: &AppState, dialler: &DiallerOfThread, call: CallSid, agent: &Answering) {
    let shared = Shared::new(
        app.metrics.clone(),
        app.admission.clone(),
        app.events.clone(),
        None,
    );
    let early = ModelLine::early(&agent.model_url(), &dialler.0, &shared);
    app.registry.do_send(AttachSession { call, early });
}

/// Who calls, and who answers: the agent that the webhook's own URL names (`/incoming-call?agent=spa`), or else the
/// number's. The query is part of what Twilio signs.
pub(crate) async fn info(app: &AppState, request: &HttpRequest, webhook: &Webhook) -> CallInfo {
    let to = webhook.form.get("To");
    let from = webhook.form.get("From");
    let query = Form::from_query(request.query_string()).ok();
    let named = query.as_ref().and_then(|query| query.get("agent"));
    let called = to.unwrap_or_default();
    let believed = believed(app, webhook);
    let (agent, config_snapshot) = app.who_answers(called, named, callable(believed)).await;
    CallInfo {
        call: webhook.call,
        from: from.map(mask),
        number: CallerNumber(clean(believed.unwrap_or_default())),
        to: to.map(clean),
        direction: direction(webhook),
        agent,
        config_snapshot,
        ownership: Ownership::First,
    }
}

/// The number the call comes from, unless the settings want one that somebody vouches for: any other can be written by
/// anybody.
pub(crate) fn believed<'a>(app: &AppState, webhook: &'a Webhook) -> Option<&'a str> {
    let is_believed = direction(webhook) == Direction::Outbound
        || !app.book_rules().verified_only
        || caller::is_attested(webhook.form.get("StirVerstat"));
    webhook.form.get("From").filter(|_| is_believed)
}

fn direction(webhook: &Webhook) -> Direction {
    let told = webhook.form.get("Direction").unwrap_or_default();
    if told.starts_with("outbound") {
        Direction::Outbound
    } else {
        Direction::Inbound
    }
}

/// A number as Twilio wrote it, without what cannot stand in one.
fn clean(number: &str) -> String {
    let printable = number.chars().filter(|c| !c.is_control());
    printable.take(64).collect()
}

/// Keeps a place for a new call; gives its media token, or the reason why there is none.
pub(crate) async fn arrive(app: &AppState, info: CallInfo) -> Result<Arrived, &'static str> {
    let arrived = keep_place(app, info.clone(), false, false).await?;
    if arrived.first {
        resume::announce(app, &info, &arrived.token, None).await;
    }
    Ok(arrived)
}

/// The same for a call that was here, or elsewhere, before; `left` is what its owner wrote down last.
pub(crate) async fn come_again(
    app: &AppState,
    info: CallInfo,
    left: Option<Checkpoint>,
) -> Result<Arrived, &'static str> {
    let renew = left
        .as_ref()
        .is_some_and(|checkpoint| checkpoint.ticket.is_none());
    let arrived = keep_place(app, info.clone(), true, renew).await?;
    if arrived.first {
        resume::announce(app, &info, &arrived.token, left).await;
    }
    Ok(arrived)
}

async fn keep_place(
    app: &AppState,
    info: CallInfo,
    again: bool,
    renew: bool,
) -> Result<Arrived, &'static str> {
    let now = std::time::SystemTime::now();
    let mint = &app.keyring.now().issuer;
    let token = mint.mint(info.call.as_str(), now).map_err(|error| {
        log::error!(target: "switchboard::phone", error:% = error; "cannot mint a ticket");
        "no_ticket"
    })?;
    let most_of_agent = app.answering(&info).max_calls();
    let exempt = app.callers().is_exempt(callable(Some(&info.number.0)));
    let question = Announce {
        exempt,
        info,
        token,
        again,
        renew,
        most_of_agent,
    };
    let answer = app.ask(question).await.ok_or("registry_silent")?;
    answer.map_err(Refused::label)
}

//! `/after-stream`: the media socket is closed and the caller still there; what comes next?

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::call::outcome::{EndReason, NextStep, Stage};
use switchboard_actors::messages::Ownership;
use switchboard_actors::registry::messages::{LastOutcome, Refused};

use super::twiml::Response;
use super::webhook::Webhook;
use super::{answer, consult, incoming_call};
use crate::calls::resume;
use crate::service::state::AppState;

pub(crate) async fn handle(
    app: web::Data<AppState>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    let waited = waited(&request);
    answer::twiml(&what_follows(&app, &request, &webhook, waited).await)
}

/// How often Twilio was asked to wait for another process.
fn waited(request: &HttpRequest) -> u8 {
    let waited = request.query_string().strip_prefix("waited=");
    waited.and_then(|times| times.parse().ok()).unwrap_or(0)
}

/// What the caller meets next, by what this process knows of the call, or else by what another one wrote down.
pub(crate) async fn what_follows(
    app: &AppState,
    request: &HttpRequest,
    webhook: &Webhook,
    waited: u8,
) -> Response {
    let ending = app.ask(LastOutcome(webhook.call)).await.flatten();
    let reason = ending.as_ref().and_then(|ending| ending.reason);
    let here = reason.map_or(NextStep::Reconnect, EndReason::next_step);
    let mut target = ending
        .as_ref()
        .and_then(|ending| ending.transfer_to.clone());
    let mut awaited_by = ending.as_ref().and_then(|ending| ending.awaited_by);
    let mut info = match ending {
        Some(ending) => ending.info,
        None => incoming_call::info(app, request, webhook).await,
    };
    // A process that leaves takes nothing over: the next one would have to take it over again.
    if here == NextStep::Reconnect && app.is_draining() {
        app.metrics.admission_rejected(Refused::Draining.label());
        return answer::elsewhere(app, &app.answering(&info), "/after-stream", waited);
    }
    let mut aftermath = here;
    let mut left = None;
    if here == NextStep::Reconnect {
        info.ownership = Ownership::Due;
        left = resume::look(app, webhook.call).await;
        if let Some(checkpoint) = &left {
            let (there, to) = checkpoint.aftermath();
            aftermath = there;
            target = to.cloned();
            let person = checkpoint.person.as_ref();
            awaited_by = person
                .filter(|person| person.stage == Stage::Waiting)
                .map(|person| person.attempt);
            if let Some(person) = person.filter(|_| webhook.is_over()) {
                consult::let_go(app, webhook.call, person);
            }
            resume::same_agent(app, webhook, &mut info, &checkpoint.agent).await;
        }
    }
    let agent = app.answering(&info);
    log::info!(target: "switchboard::phone", call_sid = webhook.call.as_str(), next:? = aftermath; "after the stream");
    match aftermath {
        NextStep::HangUp => Response::new().hangup(),
        NextStep::Transfer => {
            answer::transfer(app, &agent, webhook.call, target.as_ref(), awaited_by)
        }
        NextStep::Fallback => answer::fallback(&agent),
        NextStep::Reconnect => match incoming_call::come_again(app, info, left).await {
            Ok(arrived) => answer::connect(app, &agent, &arrived.token),
            Err(reason) => {
                app.metrics.admission_rejected(reason);
                answer::fallback(&agent)
            }
        },
    }
}

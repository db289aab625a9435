//! `/after-dial`: the call to a transfer target is over; did anybody take the caller?

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::call::outcome::{Destination, Dialled, EndReason, Unreached};
use call_protocol::checkpoint::{Checkpoint, Standing};
use switchboard_actors::messages::Ownership;
use switchboard_actors::registry::messages::{LastOutcome, Refused};

use super::form::Form;
use super::twiml::Response;
use super::webhook::Webhook;
use super::{answer, consult, incoming_call};
use crate::calls::resume;
use crate::service::state::AppState;

const PATH: &str = "/after-dial";

/// Marks the end of a meeting.
const MET: &str = "met";

pub(crate) async fn handle(
    app: web::Data<AppState>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    answer::twiml(&what_follows(&app, &request, &webhook).await)
}

/// Where Twilio asks what follows a call to `to`. The names of targets need no escaping; a number stays out of URLs,
/// which proxies write down.
pub(crate) fn path(to: Option<&Destination>) -> String {
    match to {
        Some(Destination::Target(name)) => format!("{PATH}?target={name}"),
        Some(Destination::Number(_)) | None => PATH.to_owned(),
    }
}

/// The same of a meeting with a person who had been called before.
pub(crate) fn path_of_meeting(to: Option<&Destination>) -> String {
    let path = path(to);
    let more = if path.contains('?') { '&' } else { '?' };
    format!("{path}{more}{MET}=1")
}

/// Whether a URL of ours leads here.
pub(crate) fn is_at(app: &AppState, url: &str) -> bool {
    let path = url.strip_prefix(app.public_http.as_str());
    path.is_some_and(|path| path.split('?').next() == Some(PATH))
}

/// What the URL itself says: whom we called, and, after a jump, what came of it and how often Twilio has jumped.
struct Asked {
    target: Option<Destination>,
    status: Option<String>,
    /// A room was dialled, not a number: whether the two were bridged is not told.
    met: bool,
    waited: u8,
}

impl Asked {
    fn read(app: &AppState, request: &HttpRequest, webhook: &Webhook) -> Self {
        let failed = webhook.form.get("ErrorUrl");
        let failed = failed.filter(|url| is_at(app, url));
        let query = match failed {
            Some(url) => url.split_once('?').map_or("", |(_, query)| query),
            None => request.query_string(),
        };
        let query = Form::from_query(query).unwrap_or_default();
        let target = query.get("target").map(str::to_owned);
        let status = webhook
            .form
            .get("DialCallStatus")
            .or(query.get("status"))
            .map(str::to_owned);
        Self {
            target: target.map(Destination::Target),
            status,
            met: query.get(MET).is_some(),
            waited: query
                .get("waited")
                .and_then(|times| times.parse().ok())
                .unwrap_or(0),
        }
    }
}

/// Hangs up behind a conversation that took place; a caller whom nobody took goes back to the agent.
pub(crate) async fn what_follows(
    app: &AppState,
    request: &HttpRequest,
    webhook: &Webhook,
) -> Response {
    let asked = Asked::read(app, request, webhook);
    let bridged = webhook.form.get("DialBridged").filter(|_| !asked.met);
    let status = asked.status.as_deref().unwrap_or_default();
    let dialled = match Unreached::from_label(status) {
        Some(why) => Dialled::Unreached(why),
        None => Dialled::read(status, bridged),
    };
    let status = match dialled {
        Dialled::Reached => "reached",
        Dialled::Unreached(why) => why.label(),
    };
    // Twilio asks for a caller who hung up while it rang, too.
    let is_there = !webhook.is_over();
    log::info!(target: "switchboard::phone", call_sid = webhook.call.as_str(), status, caller_is_there = is_there; "after the transfer");
    let Dialled::Unreached(why) = dialled else {
        forget(app, webhook).await;
        return Response::new().hangup();
    };
    if !is_there {
        forget(app, webhook).await;
        return Response::new().hangup();
    }
    come_back(app, request, webhook, asked, why).await
}

async fn come_back(
    app: &AppState,
    request: &HttpRequest,
    webhook: &Webhook,
    asked: Asked,
    why: Unreached,
) -> Response {
    let mut info = match app.ask(LastOutcome(webhook.call)).await.flatten() {
        Some(ending) => ending.info,
        None => incoming_call::info(app, request, webhook).await,
    };
    if app.is_draining() {
        app.metrics.admission_rejected(Refused::Draining.label());
        // The jump brings the call's own fields along, and no others.
        let path = path(asked.target.as_ref());
        let more = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{more}status={}", why.label());
        return answer::elsewhere(app, &app.answering(&info), &path, asked.waited);
    }
    info.ownership = Ownership::Due;
    let left = resume::look(app, webhook.call).await;
    // Without a checkpoint the conversation is lost, but not what the caller has to be told.
    let mut left = left.unwrap_or_else(|| Checkpoint {
        epoch: 1,
        agent: info.agent.name.clone(),
        standing: Standing::Over {
            reason: EndReason::Transferred,
            to: asked.target,
        },
        ..Checkpoint::default()
    });
    if let Some(person) = &left.person {
        consult::let_go(app, webhook.call, person);
    }
    resume::same_agent(app, webhook, &mut info, &left.agent).await;
    let agent = app.answering(&info);
    if !left.come_back(why) {
        log::warn!(target: "switchboard::phone", call_sid = webhook.call.as_str(), returns = left.returns; "no way back to the agent");
        return answer::fallback(&agent);
    }
    match incoming_call::come_again(app, info, Some(left)).await {
        Ok(arrived) => answer::connect(app, &agent, &arrived.token),
        Err(reason) => {
            app.metrics.admission_rejected(reason);
            answer::fallback(&agent)
        }
    }
}

/// Nobody comes back to this call: what was said in it need not be kept.
async fn forget(app: &AppState, webhook: &Webhook) {
    if let Some(left) = resume::look(app, webhook.call).await {
        // The work is lined up; its answer changes nothing.
        drop(app.store.forget(webhook.call, left.epoch));
    }
}

//! `/after-dial`: the call to a transfer target is over; did anybody take the caller?

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::call::outcome::{Destination, Dialled, Unreached};

use super::form::Form;
use super::twiml::Response;
use super::webhook::Webhook;
use super::{answer, caller};
use crate::calls::resume;
use crate::phone::address::PublicAddress;
use crate::phone::state::PhoneState;

const PATH: &str = "/after-dial";

/// Marks the end of a meeting.
const MET: &str = "met";

pub(crate) async fn handle(
    state: web::Data<PhoneState>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    answer::twiml(&what_follows(&state, &request, &webhook).await)
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

/// Where a caller goes on whose person was gone before they came.
pub(crate) fn path_when_declined(to: Option<&Destination>) -> String {
    path_after(to, Unreached::Declined)
}

/// Where a caller goes on whom nobody took, and why.
fn path_after(to: Option<&Destination>, why: Unreached) -> String {
    let path = path(to);
    let more = if path.contains('?') { '&' } else { '?' };
    format!("{path}{more}status={}", why.label())
}

/// Whether a URL of ours leads here.
pub(crate) fn is_at(address: &PublicAddress, url: &str) -> bool {
    let path = address.path_of(url);
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
    fn read(address: &PublicAddress, request: &HttpRequest, webhook: &Webhook) -> Self {
        let failed = webhook.form.get("ErrorUrl");
        let query = match failed.filter(|url| is_at(address, url)) {
            Some(url) => url.split_once('?').map_or("", |(_, query)| query),
            None => request.query_string(),
        };
        let query = Form::from_query(query).unwrap_or_default();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let told = webhook.form.get("DialCallStatus");
        let waited = query.get("waited").and_then(|times| times.parse().ok());
        Self {
            target: owned(query.get("target")).map(Destination::Target),
            status: owned(told.or(query.get("status"))),
            met: query.get(MET).is_some(),
            waited: waited.unwrap_or(0),
        }
    }

    /// What came of the call to the target.
    fn dialled(&self, webhook: &Webhook) -> Dialled {
        let status = self.status.as_deref().unwrap_or_default();
        let bridged = webhook.form.get("DialBridged").filter(|_| !self.met);
        match Unreached::from_label(status) {
            Some(why) => Dialled::Unreached(why),
            None => Dialled::read(status, bridged),
        }
    }
}

/// Hangs up behind a conversation that took place; a caller whom nobody took goes back to the agent.
pub(crate) async fn what_follows(
    state: &PhoneState,
    request: &HttpRequest,
    webhook: &Webhook,
) -> Response {
    let asked = Asked::read(&state.address, request, webhook);
    let dialled = asked.dialled(webhook);
    let status = match dialled {
        Dialled::Reached => "reached",
        Dialled::Unreached(why) => why.label(),
    };
    // Twilio asks for a caller who hung up while it rang, too.
    let is_there = !webhook.is_over();
    log::info!(target: "switchboard::phone", call_sid = webhook.call.as_str(), status, caller_is_there = is_there; "after the transfer");
    match dialled {
        Dialled::Unreached(why) if is_there => come_back(state, request, webhook, asked, why).await,
        Dialled::Unreached(_) | Dialled::Reached => {
            resume::nobody_comes_back(&state.calls, webhook.call).await;
            Response::new().hangup()
        }
    }
}

async fn come_back(
    state: &PhoneState,
    request: &HttpRequest,
    webhook: &Webhook,
    asked: Asked,
    why: Unreached,
) -> Response {
    let ringing = caller::ringing(request, webhook);
    // A jump brings the call's own fields along, and no others.
    let path = path_after(asked.target.as_ref(), why);
    let (agent, next) = resume::after_dial(&state.calls, &ringing, asked.target, why).await;
    let asked_at = (path.as_str(), asked.waited);
    answer::next(&state.address, &agent, webhook.call, next, asked_at)
}

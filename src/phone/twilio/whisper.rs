//! `/briefing`: what a person hears who answers a warm transfer, before the caller joins; `/briefing-key`: takes the
//! call, or does not.
//!
//! Twilio runs this on the person's end while the caller hears it ring
//! (<https://www.twilio.com/docs/voice/twiml/number#attributes-url>), or, where the person was called by the REST API,
//! while the caller talks with the agent ([`super::consult`]). A mailbox presses no key.

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::call::outcome::ConsultEvent;
use call_protocol::checkpoint::Checkpoint;
use call_protocol::conversation::Speaker;
use call_protocol::ids::clip;
use call_protocol::phone::CallSid;

use super::consult::{self, ConsultId, Wanted};
use super::form::Form;
use super::twiml::Response;
use super::webhook::Webhook;
use super::{answer, language};
use crate::calls::resume;
use crate::service::state::AppState;

/// Takes the call.
const TAKE: &str = "1";

/// Turns told where the model gave no summary.
const TURNS: usize = 2;

/// Seconds a person who has taken a call waits for it to be somebody's again.
const PATIENCE: u8 = 10;

/// Bytes of a turn that are told.
const TOLD: usize = 200;

/// Where Twilio asks what the person should hear who takes this call.
pub(crate) fn path(call: CallSid) -> String {
    format!("/briefing?call={}", call.as_str())
}

pub(crate) async fn handle(
    app: web::Data<AppState>,
    request: HttpRequest,
    // About the person's leg, which has a SID of its own.
    webhook: Webhook,
) -> HttpResponse {
    let query = Form::from_query(request.query_string()).unwrap_or_default();
    let wish = ConsultId::of(&request);
    if let Some(wish) = wish {
        let (attempt, leg) = (wish.attempt, webhook.call);
        let answered = ConsultEvent::Answered { attempt, leg };
        if consult::tell(&app, wish, answered).await == Wanted::No {
            return answer::twiml(&consult::gone());
        }
    }
    let left = match query.get("call").and_then(CallSid::parse) {
        Some(call) => resume::look(&app, call).await,
        None => None,
    };
    let about = left.as_ref().map(about).unwrap_or_default();
    let text = app.transfer().briefing.replace("{summary}", &about);
    let action = match wish {
        Some(wish) => key_path(&app, wish),
        None => format!("{}/briefing-key", app.public_http),
    };
    let agent = left.as_ref().map_or("", |left| left.agent.as_str());
    let spoken = language::of(&app.language(agent));
    answer::twiml(&Response::new().ask_for_key(&text, spoken, action).hangup())
}

fn key_path(app: &AppState, wish: ConsultId) -> String {
    format!("{}/briefing-key?{}", app.public_http, wish.query())
}

/// The person has pressed a key.
pub(crate) async fn key(
    app: web::Data<AppState>,
    request: HttpRequest,
    webhook: Webhook,
) -> HttpResponse {
    let waited = waited(&request);
    // A jump brings no key along: it is made for one who has pressed the right one.
    let takes = webhook.form.get("Digits") == Some(TAKE) || waited > 0;
    log::info!(target: "switchboard::phone", call_sid = webhook.call.as_str(), takes; "briefed");
    if !takes {
        return answer::twiml(&Response::new().hangup());
    }
    let Some(wish) = ConsultId::of(&request) else {
        // A document without a verb connects the two.
        return answer::twiml(&Response::new());
    };
    let attempt = wish.attempt;
    let wanted = consult::tell(&app, wish, ConsultEvent::Takes { attempt }).await;
    answer::twiml(&match wanted {
        Wanted::Yes => Response::new()
            .say("Thank you. I am connecting you.", language::OURS)
            .meet(wish.room(), None),
        Wanted::Soon if waited < PATIENCE => {
            let again = format!("{}&waited={}", key_path(&app, wish), waited + 1);
            Response::new().pause(1).redirect(&again)
        }
        Wanted::Soon | Wanted::No => consult::gone(),
    })
}

/// How often the person was asked to wait for a call between two owners.
fn waited(request: &HttpRequest) -> u8 {
    let query = Form::from_query(request.query_string()).unwrap_or_default();
    let waited = query.get("waited").and_then(|times| times.parse().ok());
    waited.unwrap_or(0)
}

/// What the call is about: in the model's words, or else what was said last.
fn about(left: &Checkpoint) -> String {
    if let Some(briefing) = &left.briefing {
        return briefing.clone();
    }
    let mut told = Vec::new();
    for turn in left.turns.iter().rev() {
        let words = turn.heard.as_deref().unwrap_or_default().trim();
        let is_told = turn.who == Speaker::Caller && !words.is_empty();
        if !is_told || words.starts_with("[keys ") {
            continue;
        }
        told.push(format!("The caller said: {}", clip(words, TOLD)));
        if told.len() == TURNS {
            break;
        }
    }
    told.reverse();
    told.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use call_protocol::conversation::KeptTurn;

    fn turn(who: Speaker, words: &str) -> KeptTurn {
        KeptTurn {
            who,
            at_ms: 0,
            heard: Some(words.to_owned()),
            said: None,
            heard_ms: 0,
            cut: false,
        }
    }

    #[test]
    fn without_a_summary_the_callers_last_words_are_told() {
        let mut left = Checkpoint::default();
        assert_eq!(about(&left), "");
        for words in ["Hello.", "A massage.", "[keys •]"] {
            left.turns.push_back(turn(Speaker::Caller, words));
            left.turns.push_back(turn(Speaker::Agent, "Yes."));
        }
        let told = "The caller said: Hello. The caller said: A massage.";
        assert_eq!(about(&left), told);
        left.briefing = Some("Ann wants her money back.".to_owned());
        assert_eq!(about(&left), "Ann wants her money back.");
    }
}

//! People who are called through the REST API, and their legs.

use tokio::time::{Duration, sleep};

use super::call::{Leg, progress_params, request_params};
use super::callbacks::Callbacks;
use super::caller::Silent;
use super::exchange::Update;
use super::line::{CallProgress, Line};
use super::outcome::CallOutcome;
use super::webhook::Method;

/// What a person does whose phone rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonDoes {
    /// Answers after a while.
    Answers {
        /// Milliseconds of ringing.
        ring_ms: u64,
        /// The key pressed when asked, if any.
        key: Option<char>,
        /// Hangs up after so many milliseconds in a conference that has not begun.
        waits_ms: u64,
        /// Hangs up after so many milliseconds of conversation.
        talk_ms: u64,
    },
    Busy,
    /// Lets it ring until the `Timeout`, which takes so many milliseconds here.
    LetsItRing {
        /// Milliseconds.
        ms: u64,
    },
    CannotBeReached,
}

/// A person's call, over.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonCalled {
    /// The call to them.
    pub call_sid: String,
    /// Who was called.
    pub to: String,
    /// The number they saw.
    pub from: String,
    /// Twilio's word for how it ended.
    pub status: String,
    /// What was said to them, by `<Say>` and `<Gather>`.
    pub heard: Vec<String>,
    /// Their leg, if they answered.
    pub leg: Option<CallOutcome>,
}

/// How somebody behaves whose leg is run by the emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manners {
    /// The key pressed when asked for one.
    pub key: Option<char>,
    /// Hangs up after so many milliseconds in a conference that has not begun.
    pub waits_ms: Option<u64>,
    /// Hangs up after so many milliseconds of conversation in a conference.
    pub talk_ms: Option<u64>,
}

/// What was asked for when the call was placed.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) call_sid: String,
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) url: String,
    pub(crate) status_callback: Option<String>,
}

impl Placed {
    /// Rings, and runs the leg of one who answers; `answered` is told when they do.
    pub(crate) async fn run(
        self,
        template: Line,
        does: PersonDoes,
        answered: impl FnOnce(),
    ) -> PersonCalled {
        let mut line = template;
        line.from.clone_from(&self.from);
        line.to.clone_from(&self.to);
        line.direction = "outbound-api";
        line.fallback = None;
        line.status_callback.clone_from(&self.status_callback);
        line.status_events = vec![CallProgress::Completed];
        let (ring_ms, refusal) = match does {
            PersonDoes::Answers { ring_ms, .. } => (ring_ms, None),
            PersonDoes::Busy => (50, Some("busy")),
            PersonDoes::LetsItRing { ms } => (ms, Some("no-answer")),
            PersonDoes::CannotBeReached => (20, Some("failed")),
        };
        let mut ringing = line.exchange.register(&self.call_sid);
        let status = tokio::select! {
            () = sleep(Duration::from_millis(ring_ms)) => refusal,
            // Other changes need a call in progress.
            () = async { while ringing.next().await != Update::Complete {} } => Some("canceled"),
        };
        drop(ringing);
        let (
            PersonDoes::Answers {
                key,
                waits_ms,
                talk_ms,
                ..
            },
            None,
        ) = (does, status)
        else {
            let status = status.unwrap_or("failed");
            self.tell_status(&line, status).await;
            return self.over(status, None);
        };
        let Ok(url) = self.url.parse() else {
            self.tell_status(&line, "failed").await;
            return self.over("failed", None);
        };
        line.webhook = url;
        line.manners = Manners {
            key,
            waits_ms: Some(waits_ms),
            talk_ms: Some(talk_ms),
        };
        answered();
        let outcome = Leg::outbound(&line, Silent, &self.call_sid).run().await;
        self.over("completed", Some(outcome))
    }

    async fn tell_status(&self, line: &Line, status: &str) {
        let Some(url) = &self.status_callback else {
            return;
        };
        let callbacks = Callbacks::open(line, tokio::time::Instant::now());
        let params = request_params(line, &self.call_sid, status);
        callbacks.send(Method::Post, url, progress_params(params, 0, Some(0)));
        callbacks.close().await;
    }

    fn over(self, status: &str, leg: Option<CallOutcome>) -> PersonCalled {
        let heard = leg.as_ref().map(CallOutcome::spoken).unwrap_or_default();
        PersonCalled {
            call_sid: self.call_sid,
            to: self.to,
            from: self.from,
            status: status.to_owned(),
            heard,
            leg,
        }
    }
}

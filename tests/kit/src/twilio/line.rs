//! A phone line: who calls whom, through which account, and how the network behaves.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use url::Url;

use super::account::{Account, SidMint};
use super::event::PhoneEvent;
use super::exchange::Exchange;
use super::fault::Opening;
use super::person::Manners;
use super::room::Rooms;
use super::route::Route;
use super::webhook::{Method, Params};

/// Everything a call needs besides the caller. Clones share the route's targets, the exchange and the observer.
#[derive(Debug, Clone)]
pub struct Line {
    /// The number's voice webhook, asked for the first TwiML.
    pub webhook: Url,
    /// How it is asked.
    pub webhook_method: Method,
    /// Asked for TwiML when a webhook fails.
    pub fallback: Option<Url>,
    /// Leads the public URL to a loopback address.
    pub route: Option<Route>,
    /// Whose number is called; signs everything.
    pub account: Account,
    /// The caller's number.
    pub from: String,
    /// The number called.
    pub to: String,
    /// `Direction` of its calls.
    pub direction: &'static str,
    /// What whoever is on it does when asked for a key, or in a conference.
    pub manners: Manners,
    /// The account's conferences.
    pub rooms: Rooms,
    /// More fields for every request for TwiML, such as `StirVerstat` or `FromCity`.
    pub extra_params: Params,
    /// What the parties rung by `<Dial>` do, one after the other; the last answer repeats.
    pub dial: Vec<DialAnswer>,
    /// How long verbs last.
    pub pace: Pace,
    /// The number's "call status changes" callback.
    pub status_callback: Option<String>,
    /// Which of them are sent.
    pub status_events: Vec<CallProgress>,
    /// How callbacks arrive.
    pub delivery: Delivery,
    /// How the media socket begins.
    pub opening: Opening,
    /// Between the TwiML and dialling the media socket: TCP, TLS and Twilio's own time.
    pub socket_delay: Duration,
    /// Between the upgrade and `connected`, and again between `connected` and `start`.
    pub start_delay: Duration,
    /// The timestamp of the first media message, in ms.
    pub first_timestamp_ms: u64,
    /// Twilio waits this long for TwiML.
    pub webhook_limit: Duration,
    /// And this long for the media socket's upgrade (unpublished).
    pub upgrade_limit: Duration,
    /// The longest call.
    pub time_limit: Duration,
    /// Whether both sides' audio is kept for the outcome: 16 kB a second and call.
    pub record: bool,
    /// Told what happens as it happens.
    pub observer: Option<UnboundedSender<PhoneEvent>>,
    /// Redirects and ends calls from outside.
    pub exchange: Exchange,
    /// Where SIDs come from.
    pub sids: Arc<SidMint>,
}

impl Line {
    /// A line to `webhook` with an invented account and numbers, real-time pace, nobody answering a `<Dial>`, and no
    /// faults.
    #[must_use]
    pub fn new(webhook: Url) -> Self {
        Self {
            webhook,
            webhook_method: Method::Post,
            fallback: None,
            route: None,
            account: Account::default(),
            from: "+15550142".to_owned(),
            to: "+15550100".to_owned(),
            direction: "inbound",
            manners: Manners::default(),
            rooms: Rooms::default(),
            extra_params: usual_extras(),
            dial: vec![DialAnswer::NoAnswer],
            pace: Pace::real(),
            status_callback: None,
            status_events: vec![CallProgress::Completed],
            delivery: Delivery::InOrder,
            opening: Opening::Normal,
            socket_delay: Duration::ZERO,
            start_delay: Duration::ZERO,
            first_timestamp_ms: 57,
            webhook_limit: Duration::from_secs(15),
            upgrade_limit: Duration::from_secs(10),
            time_limit: Duration::from_secs(4 * 3_600),
            record: true,
            observer: None,
            exchange: Exchange::default(),
            sids: SidMint::of_process(),
        }
    }
}

/// Fields that often come with an inbound call; the lookups are often there and empty.
fn usual_extras() -> Params {
    [
        ("FromCity", ""),
        ("FromState", ""),
        ("FromZip", ""),
        ("FromCountry", "US"),
        ("ToCountry", "US"),
        ("StirVerstat", "TN-Validation-Passed-A"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// What a party rung by `<Dial>` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialAnswer {
    /// Picks up after the ring time and hangs up after so many milliseconds.
    Answered {
        /// Milliseconds of conversation.
        talk_ms: u64,
    },
    /// Picks up after the ring time, and takes the caller to nothing: presses no key when asked, or hangs up at once.
    Declines,
    Busy,
    /// Lets it ring until the `timeout` of the verb.
    NoAnswer,
    /// Cannot be reached.
    Failed,
}

/// How long verbs last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// `<Say>`: milliseconds a character.
    pub say_ms_per_character: u64,
    /// `<Pause>` and the ringing of an unanswered `<Dial>`: milliseconds a second.
    pub ms_per_second: u64,
    /// Ringing before a `<Dial>` is answered.
    pub ring_ms: u64,
}

impl Pace {
    /// As in life.
    #[must_use]
    pub const fn real() -> Self {
        Self {
            say_ms_per_character: 60,
            ms_per_second: 1_000,
            ring_ms: 3_000,
        }
    }

    /// Verbs take no time; media streams run in real time all the same.
    #[must_use]
    pub const fn fast() -> Self {
        Self {
            say_ms_per_character: 0,
            ms_per_second: 0,
            ring_ms: 0,
        }
    }
}

/// An event of `StatusCallbackEvent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallProgress {
    /// The number is being called.
    Ringing,
    /// The first TwiML is there and answers the call.
    Answered,
    /// The call is over.
    Completed,
}

/// How status callbacks arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// One after the other as things happen.
    #[default]
    InOrder,
    /// Each one twice, with the same idempotency token.
    Twice,
    /// All of them after the call, the last first.
    Reversed,
}

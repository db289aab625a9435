//! The link to the model: dialled, configured, ready, lost; and how often it is tried again.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::{Formats, ModelEvent, SessionInfo};
use crate::audio::guard::Guard;
use crate::ids::ModelId;
use crate::model::command::{SessionSetup, TurnDetection, Voice};
use crate::time::Time;

/// A socket that is not open by then is given up.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A session that is not configured by then is given up.
pub const CONFIGURE_TIMEOUT: Duration = Duration::from_secs(5);

/// Failures allowed inside [`BUDGET_WINDOW`]: after that the caller is better served by a person.
const BUDGET: usize = 5;

/// Window of the failure budget, and the longest a caller waits for a session: servers that hang fail too slowly to
/// use the budget up.
const BUDGET_WINDOW: Duration = Duration::from_secs(15);

/// First wait before another dial; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Longest wait before another dial.
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// Where the link is.
#[derive(Debug)]
pub enum Link {
    /// The socket is being opened.
    Dialling {
        /// Since when.
        since: Time,
    },
    /// The socket is open, the session not configured.
    Configuring(Configuring),
    /// The session may be talked to.
    Ready(Session),
    /// The link is down and will be dialled again.
    Waiting,
    /// The link is down for good.
    Lost,
}

/// How much of the wish a session is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    All,
    /// Instructions, formats and tools: something else was refused, and it was not told what.
    Tools,
    /// The least a call can be held with.
    Least,
}

impl Extent {
    /// What is asked for when this much was refused, or not followed.
    #[must_use]
    pub fn less(self, wish: &SessionSetup) -> Option<Self> {
        match self {
            Self::All if !wish.tools.is_empty() => Some(Self::Tools),
            Self::All | Self::Tools => Some(Self::Least),
            Self::Least => None,
        }
    }

    /// This much of a wish.
    #[must_use]
    pub fn of(self, wish: SessionSetup) -> SessionSetup {
        match self {
            Self::All => wish,
            Self::Tools => SessionSetup {
                voice: Voice::Keep,
                options: None,
                ..wish
            },
            Self::Least => SessionSetup {
                voice: Voice::Keep,
                tools: Vec::new(),
                options: None,
                ..wish
            },
        }
    }
}

/// A session that is being configured.
#[derive(Debug)]
pub struct Configuring {
    /// When it was dialled.
    pub dialled: Time,
    /// Its id, once `session.created` told it.
    pub session: Option<ModelId>,
    /// The update we wait for.
    pub request: String,
    /// How much it is asked for.
    pub extent: Extent,
}

impl Configuring {
    /// Asks the `number`-th session of a call to be configured, with so many parts of the wish left out.
    #[must_use]
    pub fn new(
        number: u32,
        dialled: Time,
        session: Option<ModelId>,
        extent: Extent,
        left_out: usize,
    ) -> Self {
        let request = match (extent, left_out) {
            (Extent::All, 0) => format!("configure-{number}"),
            (Extent::All, left_out) => format!("configure-{number}-without-{left_out}"),
            (Extent::Tools, 0) => format!("configure-{number}-tools"),
            (Extent::Tools, left_out) => format!("configure-{number}-tools-without-{left_out}"),
            (Extent::Least, _) => format!("configure-{number}-least"),
        };
        Self {
            dialled,
            session,
            request,
            extent,
        }
    }

    /// The session, if it is configured as a call needs it; `asked` is how turns were asked to be found. A server that
    /// does not say which formats it took has taken what it was asked for, until its sound says otherwise.
    pub fn taken(&mut self, info: &SessionInfo, asked: Option<&TurnDetection>) -> Option<Session> {
        let asked_twice = self.extent != Extent::All;
        let is_taken = match info.formats() {
            Formats::Right => true,
            // It was asked twice and sends linear audio all the same: better transcoded than not heard.
            Formats::Bearable => asked_twice,
            Formats::Wrong => false,
        };
        if !is_taken {
            return None;
        }
        let asked = asked.filter(|_| self.extent == Extent::All);
        let mut guard = Guard::default();
        if let Some(format) = info.output {
            guard.declared(format);
        }
        // A server that does not confirm a value is taken to use the one it was asked for.
        Some(Session {
            id: info.id.clone().or_else(|| self.session.take()),
            interrupts: info
                .interrupts
                .unwrap_or_else(|| asked.is_none_or(TurnDetection::interrupts)),
            answers: info
                .answers
                .unwrap_or_else(|| asked.is_none_or(TurnDetection::answers)),
            expires_at: info.expires_at,
            guard,
            extent: self.extent,
        })
    }
}

/// A session that may be talked to.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: Option<ModelId>,
    /// Whether the server cancels a running response when the caller speaks.
    pub interrupts: bool,
    /// Whether the server answers by itself when the caller falls silent.
    pub answers: bool,
    /// When the server ends it, in seconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// Watches over the format of its audio.
    pub guard: Guard,
    /// How much of the wish it took.
    pub extent: Extent,
}

impl Link {
    /// The link's state as the admin pages know it; `again` says whether a session was there before.
    #[must_use]
    pub const fn label(&self, again: bool) -> &'static str {
        match self {
            Self::Ready(_) => "ready",
            Self::Lost => "lost",
            Self::Dialling { .. } | Self::Configuring(_) | Self::Waiting if again => "reconnecting",
            Self::Dialling { .. } | Self::Configuring(_) | Self::Waiting => "dialling",
        }
    }

    /// Whether an event can come from the session this link has: there is no conversation before it is configured, and
    /// nothing but news of the socket while there is none.
    #[must_use]
    pub const fn may_bring(&self, event: &ModelEvent) -> bool {
        match event {
            ModelEvent::Opened
            | ModelEvent::Refused(_)
            | ModelEvent::SessionCreated(_)
            | ModelEvent::SessionConfigured(_)
            | ModelEvent::Rejected(_)
            | ModelEvent::Closed { .. }
            | ModelEvent::Unresponsive
            | ModelEvent::Ignored
            | ModelEvent::ToolsUnlisted
            | ModelEvent::Unknown
            | ModelEvent::Unusable(_) => true,
            // Words may come late, and are worth having whenever they come.
            ModelEvent::CallerTranscript { .. } => true,
            ModelEvent::Error(_) | ModelEvent::RateLimits(_) => {
                matches!(self, Self::Ready(_) | Self::Configuring(_))
            }
            ModelEvent::SpeechStarted { .. }
            | ModelEvent::SpeechStopped { .. }
            | ModelEvent::CallerTurn { .. }
            | ModelEvent::ResponseStarted { .. }
            | ModelEvent::ItemStarted { .. }
            | ModelEvent::ToolArguments { .. }
            | ModelEvent::Audio { .. }
            | ModelEvent::AudioDone { .. }
            | ModelEvent::AgentTranscriptDelta { .. }
            | ModelEvent::AgentSaid { .. }
            | ModelEvent::ItemDone { .. }
            | ModelEvent::ResponseDone(_) => matches!(self, Self::Ready(_)),
        }
    }
}

/// Counts failures and says how long to wait, or that enough is enough.
#[derive(Debug)]
pub struct Backoff {
    failures: VecDeque<Time>,
    down_since: Option<Time>,
    random: u64,
}

impl Backoff {
    /// `seed` spreads the waits of calls that lost the same server in the same moment.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            failures: VecDeque::new(),
            down_since: None,
            random: seed | 1,
        }
    }

    /// There is no session; says when the wait for one ends.
    pub fn down(&mut self, now: Time) -> Time {
        *self.down_since.get_or_insert(now) + BUDGET_WINDOW
    }

    /// There is a session.
    pub fn up(&mut self) {
        self.down_since = None;
    }

    /// A dial or a session failed: wait this long before the next, or give up.
    pub fn failed(&mut self, now: Time) -> Option<Duration> {
        let give_up = self.down(now);
        while self
            .failures
            .front()
            .is_some_and(|first| now.since(*first) > BUDGET_WINDOW)
        {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        let failures = self.failures.len();
        if failures >= BUDGET {
            return None;
        }
        let doubled = FIRST_WAIT * (1 << (failures - 1));
        let wait = self.jitter(doubled.min(LONGEST_WAIT));
        (now + wait < give_up).then_some(wait)
    }

    /// The same where the server named a time before which it wants to hear of nobody.
    pub fn failed_until(&mut self, named: Option<Duration>, now: Time) -> Option<Duration> {
        let wait = self.failed(now)?;
        let Some(named) = named else {
            return Some(wait);
        };
        let wait = wait.max(self.spread(named));
        // A caller does not hold the line for longer than this; then the fallback serves them better.
        (now + wait < self.down(now)).then_some(wait)
    }

    /// A wait that a server named, or up to a quarter more: calls that share a limit do not all return at its end.
    pub fn spread(&mut self, wait: Duration) -> Duration {
        wait + wait / 2_048 * self.share()
    }

    /// Between half and the whole of `wait`.
    fn jitter(&mut self, wait: Duration) -> Duration {
        wait / 2 + wait / 1_024 * self.share()
    }

    /// Below 512.
    fn share(&mut self) -> u32 {
        // xorshift: spreading retries needs no better.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u32::try_from(self.random % 512).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_jitter_and_end() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<_> = (0..6)
            .map(|n| backoff.failed(Time::from_millis(n * 100)))
            .collect();
        let bounds = [(125, 250), (250, 500), (500, 1_000), (1_000, 2_000)];
        for (wait, (low, high)) in waits.iter().zip(bounds) {
            let millis = wait.unwrap().as_millis();
            assert!((low..=high).contains(&millis), "{millis}");
        }
        assert_eq!(&waits[4..], [None, None]);
    }

    #[test]
    fn old_failures_are_forgotten() {
        let mut backoff = Backoff::new(7);
        for minute in 0..20 {
            assert!(backoff.failed(Time::from_millis(minute * 60_000)).is_some());
            backoff.up();
        }
    }

    #[test]
    fn a_named_wait_is_kept_and_spread_by_a_quarter_at_most() {
        let named = Duration::from_secs(2);
        let waits: std::collections::HashSet<_> = (1..50u64)
            .map(|seed| Backoff::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).spread(named))
            .collect();
        assert!(waits.len() > 20);
        let kept = |wait: &Duration| (named..=named * 5 / 4).contains(wait);
        assert!(waits.iter().all(kept), "{waits:?}");
        assert_eq!(Backoff::new(7).spread(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn calls_that_fail_together_do_not_return_together() {
        let waits: std::collections::HashSet<_> = (1..50u64)
            .map(|seed| Backoff::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).failed(Time::ZERO))
            .collect();
        assert!(waits.len() > 20);
    }
}

//! One realtime session, from dial to end: the same value for the one in use, for the one that waits to take its place,
//! and for one that was dialled before its call had begun.
//!
//! ```text
//! dialling ──opened──▶ configuring ──taken──▶ ready
//!     │                  │      ▲               │
//!     │                  └─less─┘               │
//!     └───────────refused, closed, given up─────┴──▶ draining ──no other is dialled──▶ over
//! ```

use std::time::Duration;

use super::event::{Formats, ModelError, ModelEvent, SessionInfo};
use crate::audio::guard::Guard;
use crate::ids::ModelId;
use crate::model::command::{SessionSetup, TurnDetection, Voice};
use crate::time::Time;
use crate::wire::ErrorBudget;

/// A socket that is not open by then is given up.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A session that is not configured by then is given up.
pub const CONFIGURE_TIMEOUT: Duration = Duration::from_secs(5);

/// Which session of a call: each that is dialled has a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(u32);

impl SessionId {
    /// The first session that a call dials.
    pub const FIRST: Self = Self(1);

    /// The `number`-th session that a call dials.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A session of a call.
#[derive(Debug)]
pub struct ModelSession {
    id: SessionId,
    phase: Phase,
    /// Its unusable messages.
    errors: ErrorBudget,
}

/// Where a session is.
#[derive(Debug)]
pub enum Phase {
    /// Its socket is being opened.
    Dialling {
        /// Since when.
        since: Time,
    },
    /// Its socket is open, the session not configured.
    Configuring(Configuring),
    /// It may be talked to.
    Ready(Ready),
    /// It was let go of, and another will be dialled; of what it still says only words count.
    Draining,
    /// It is gone, and no other comes.
    Over,
}

/// What a word of the server about its configuration means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configured {
    /// The session is ready. It was dialled then.
    Ready(Time),
    /// It did not take what it was asked for.
    NotTaken,
    /// It was ready before, and goes on as it should.
    Again,
    /// It was ready before, and changed what must not change.
    Changed,
    /// Nothing was asked of it.
    Early,
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
    dialled: Time,
    /// Its server's name for it, once `session.created` told it.
    name: Option<ModelId>,
    /// The update we wait for.
    request: String,
    /// How much it is asked for.
    extent: Extent,
}

impl Configuring {
    /// Asks the `number`-th session of a call to be configured, with so many parts of the wish left out.
    fn new(
        number: u32,
        dialled: Time,
        name: Option<ModelId>,
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
            name,
            request,
            extent,
        }
    }

    /// The session, if it is configured as a call needs it; `asked` is how turns were asked to be found. A server that
    /// does not say which formats it took has taken what it was asked for, until its sound says otherwise.
    fn taken(&mut self, info: &SessionInfo, asked: Option<&TurnDetection>) -> Option<Ready> {
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
        Some(Ready {
            name: info.id.clone().or_else(|| self.name.take()),
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
pub struct Ready {
    /// Its server's name for it.
    pub name: Option<ModelId>,
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

/// What is asked of it.
impl ModelSession {
    /// Which one it is.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Where it is.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The session, if it may be talked to.
    #[must_use]
    pub const fn ready(&self) -> Option<&Ready> {
        match &self.phase {
            Phase::Ready(ready) => Some(ready),
            Phase::Dialling { .. } | Phase::Configuring(_) | Phase::Draining | Phase::Over => None,
        }
    }

    /// The session, if it may be talked to.
    #[must_use]
    pub const fn ready_mut(&mut self) -> Option<&mut Ready> {
        match &mut self.phase {
            Phase::Ready(ready) => Some(ready),
            Phase::Dialling { .. } | Phase::Configuring(_) | Phase::Draining | Phase::Over => None,
        }
    }

    /// Since when its socket is being opened.
    #[must_use]
    pub const fn dialling_since(&self) -> Option<Time> {
        match self.phase {
            Phase::Dialling { since } => Some(since),
            Phase::Configuring(_) | Phase::Ready(_) | Phase::Draining | Phase::Over => None,
        }
    }

    /// Its server's name for it, once that is known.
    #[must_use]
    pub const fn name(&self) -> Option<&ModelId> {
        match &self.phase {
            Phase::Ready(ready) => ready.name.as_ref(),
            Phase::Configuring(configuring) => configuring.name.as_ref(),
            Phase::Dialling { .. } | Phase::Draining | Phase::Over => None,
        }
    }

    /// Whether an event can come from it while it is in use: there is no conversation before it is configured, and
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
                matches!(self.phase, Phase::Ready(_) | Phase::Configuring(_))
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
            | ModelEvent::ResponseDone(_) => matches!(self.phase, Phase::Ready(_)),
        }
    }

    /// Whether an error answers its configuration. Some do not say what they answer.
    #[must_use]
    pub fn is_refusal(&self, error: &ModelError) -> bool {
        let Phase::Configuring(configuring) = &self.phase else {
            return false;
        };
        match error.event_id.as_deref() {
            Some(request) if !request.is_empty() => configuring.request == request,
            Some(_) | None => error.kind == "invalid_request_error",
        }
    }
}

/// What happens to it.
impl ModelSession {
    /// A session that is being dialled from now on.
    #[must_use]
    pub fn dial(id: SessionId, now: Time) -> Self {
        Self {
            id,
            phase: Phase::Dialling { since: now },
            errors: ErrorBudget::default(),
        }
    }

    /// No session, in a call that has dialled none.
    #[must_use]
    pub fn none() -> Self {
        Self {
            id: SessionId(0),
            phase: Phase::Draining,
            errors: ErrorBudget::default(),
        }
    }

    /// It is asked to be configured as the `number`-th of its call that is ready, with so many parts of the wish left out.
    /// The request's id.
    pub fn configure(&mut self, number: u32, extent: Extent, left_out: usize) -> Option<String> {
        let (dialled, name) = match &mut self.phase {
            Phase::Dialling { since } => (*since, None),
            Phase::Configuring(configuring) => (configuring.dialled, configuring.name.take()),
            Phase::Ready(_) | Phase::Draining | Phase::Over => return None,
        };
        let configuring = Configuring::new(number, dialled, name, extent, left_out);
        let request = configuring.request.clone();
        self.phase = Phase::Configuring(configuring);
        Some(request)
    }

    /// How much it is asked for, while it is.
    #[must_use]
    pub const fn asked_for(&self) -> Option<Extent> {
        match &self.phase {
            Phase::Configuring(configuring) => Some(configuring.extent),
            Phase::Dialling { .. } | Phase::Ready(_) | Phase::Draining | Phase::Over => None,
        }
    }

    /// The server has named it; false where that makes no sense.
    pub fn created(&mut self, info: SessionInfo) -> bool {
        let Phase::Configuring(configuring) = &mut self.phase else {
            return false;
        };
        configuring.name = info.id;
        true
    }

    /// The server says how it is configured; `asked` is how turns were asked to be found.
    pub fn configured(&mut self, info: &SessionInfo, asked: Option<&TurnDetection>) -> Configured {
        match &mut self.phase {
            Phase::Configuring(configuring) => {
                let dialled = configuring.dialled;
                let Some(ready) = configuring.taken(info, asked) else {
                    return Configured::NotTaken;
                };
                self.phase = Phase::Ready(ready);
                Configured::Ready(dialled)
            }
            Phase::Ready(ready) => {
                let formats = info.formats();
                let is_right = formats == Formats::Right
                    || (formats == Formats::Bearable && ready.guard.is_transcoding());
                if !is_right {
                    return Configured::Changed;
                }
                let asked = asked.map(TurnDetection::interrupts);
                ready.interrupts = info.interrupts.or(asked).unwrap_or(ready.interrupts);
                Configured::Again
            }
            Phase::Dialling { .. } | Phase::Draining | Phase::Over => Configured::Early,
        }
    }

    /// A message of it could not be used; whether that is one too many.
    pub fn unusable(&mut self, now: Time) -> bool {
        let too_many = self.errors.record(now);
        if too_many {
            self.errors = ErrorBudget::default();
        }
        too_many
    }

    /// What could not be used so far is forgotten.
    pub fn forgive(&mut self) {
        self.errors = ErrorBudget::default();
    }

    /// It is let go of; another will be dialled.
    pub fn let_go(&mut self) {
        self.phase = Phase::Draining;
    }

    /// It is let go of, and no other is dialled.
    pub fn give_up(&mut self) {
        self.phase = Phase::Over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::AudioFormat;

    fn info(format: AudioFormat) -> SessionInfo {
        SessionInfo {
            id: Some(ModelId::new("sess_1")),
            input: Some(format),
            output: Some(format),
            ..SessionInfo::default()
        }
    }

    fn dialled() -> ModelSession {
        ModelSession::dial(SessionId::FIRST, Time::from_millis(7))
    }

    #[test]
    fn a_session_goes_from_dial_to_end() {
        let mut session = dialled();
        assert_eq!(session.dialling_since(), Some(Time::from_millis(7)));
        assert!(
            !session.created(info(AudioFormat::Pcm24k)),
            "it is not open yet"
        );
        assert_eq!(
            session.configured(&info(AudioFormat::Mulaw), None),
            Configured::Early
        );
        assert_eq!(
            session.configure(1, Extent::All, 0).as_deref(),
            Some("configure-1")
        );
        assert!(session.created(info(AudioFormat::Pcm24k)) && session.ready().is_none());
        let configured = session.configured(&info(AudioFormat::Mulaw), None);
        assert_eq!(configured, Configured::Ready(Time::from_millis(7)));
        assert_eq!(session.name().map(ModelId::as_str), Some("sess_1"));
        assert_eq!(
            session.configure(1, Extent::All, 0),
            None,
            "it is asked once"
        );
        session.let_go();
        assert!(session.ready().is_none() && session.name().is_none());
    }

    #[test]
    fn one_that_does_not_take_it_is_asked_for_less_and_keeps_its_name() {
        let mut session = dialled();
        let mut wrong = info(AudioFormat::Pcm24k);
        session.configure(1, Extent::All, 0);
        session.created(wrong.clone());
        assert_eq!(session.configured(&wrong, None), Configured::NotTaken);
        assert_eq!(session.asked_for(), Some(Extent::All));
        let request = session.configure(1, Extent::Least, 0);
        assert_eq!(request.as_deref(), Some("configure-1-least"));
        // It hears the caller as it should; its speech is transcoded.
        (wrong.id, wrong.input) = (None, Some(AudioFormat::Mulaw));
        assert!(matches!(
            session.configured(&wrong, None),
            Configured::Ready(_)
        ));
        assert_eq!(session.name().map(ModelId::as_str), Some("sess_1"));
        assert_eq!(session.configured(&wrong, None), Configured::Again);
        let changed = session.configured(&info(AudioFormat::Pcm24k), None);
        assert_eq!(changed, Configured::Changed);
    }

    #[test]
    fn a_refusal_is_of_the_configuration_if_it_says_so_or_says_nothing() {
        let mut session = dialled();
        let error = |event_id: Option<&str>| ModelError {
            kind: "invalid_request_error".to_owned(),
            event_id: event_id.map(str::to_owned),
            ..ModelError::default()
        };
        assert!(!session.is_refusal(&error(None)), "nothing was asked");
        session.configure(1, Extent::All, 0);
        assert!(
            session.is_refusal(&error(None)) && session.is_refusal(&error(Some("configure-1")))
        );
        assert!(!session.is_refusal(&error(Some("respond-1"))));
    }

    #[test]
    fn a_session_of_which_much_cannot_be_used_is_left() {
        let mut session = dialled();
        let bad = (0..30).filter(|n| session.unusable(Time::from_millis(n * 10)));
        assert_eq!(bad.count(), 3, "each time anew");
        session.forgive();
        assert!(!session.unusable(Time::from_millis(500)));
    }
}

//! What every handler of the service needs: the settings, the registry, the mint, the metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use actix::Addr;
use actix_web::HttpRequest;
use call_protocol::call::AgentProfile;
use call_protocol::call::choice::Choice;
use call_protocol::phone::{AccountSid, Direction};
use switchboard_actors::admission::AdmissionControl;
use switchboard_actors::call::{CallSeed, ConsultLegs, Shared, Tap};
use switchboard_actors::down::DownGuard;
use switchboard_actors::events::EventBus;
use switchboard_actors::live_calls::LiveCalls;
use switchboard_actors::messages::{CallInfo, CallKey};
use switchboard_actors::metrics::Metrics;
use switchboard_actors::openai::{Dialler, ModelLine};
use switchboard_actors::registry::Registry;
use switchboard_actors::store::CallStore;
use switchboard_actors::twilio::rest::Rest;

use crate::admin::attempts::Attempts;
use crate::agents::catalog::ToolContext;
use crate::agents::routing::{Answering, AnsweringError, ConfigHistory};
use crate::listener::origin::Names;
use crate::listener::refusals::Refusals;
use crate::phone::pending_streams::{PendingStream, PendingStreams};
use crate::phone::twilio::consult;
use crate::settings::{BookRules, CallerLimits, Settings, Transfer, TransferMode, Trust};
use crate::trust::Keyring;
use appointment_book::Book;

/// Longest wait for an answer of the registry; it answers in microseconds.
const REGISTRY_ANSWERS: Duration = Duration::from_secs(2);

/// Shared by all workers of both listeners.
pub(crate) struct AppState {
    /// The settings of the start; what a reload changes is in the readings.
    pub(crate) settings: Settings,
    pub(crate) registry: Addr<Registry>,
    /// The live calls, should the registry not answer.
    pub(crate) live_calls: LiveCalls,
    /// What outlives the process.
    pub(crate) store: Arc<dyn CallStore>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the model's account can take another call.
    pub(crate) admission: Arc<AdmissionControl>,
    /// Media sockets on which `start` has not come.
    pub(crate) pending_streams: PendingStreams,
    /// Whom the house believes.
    pub(crate) keyring: Arc<Keyring>,
    /// The log lines about what was refused.
    pub(crate) refusals: Refusals,
    /// Wrong tokens at the admin listener.
    pub(crate) attempts: Attempts,
    /// Name of this process among others.
    pub(crate) node: String,
    /// A number no other process has, be it one of the same name.
    pub(crate) process: i64,
    /// `https://…` without a slash at the end, as Twilio knows us.
    pub(crate) public_http: String,
    /// `wss://…` likewise.
    pub(crate) public_ws: String,
    /// Where Twilio can be asked to do something, if we have credentials.
    pub(crate) rest: Option<Arc<Rest>>,
    /// The account the settings name.
    account: Option<AccountSid>,
    /// What happens in calls.
    pub(crate) events: EventBus,
    pub(crate) tap: Option<Tap>,
    config_history: ConfigHistory,
    /// The settings as they were read last, for telling what the next reading changes.
    pub(crate) last: Mutex<Settings>,
    draining: AtomicBool,
    #[cfg(feature = "fault-hook")]
    breaks_webhook: AtomicBool,
}

/// What a house stands on.
pub(crate) struct StateParts {
    pub(crate) registry: Addr<Registry>,
    pub(crate) store: Arc<dyn CallStore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) admission: Arc<AdmissionControl>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) rest: Option<Arc<Rest>>,
    pub(crate) tap: Option<Tap>,
}

impl AppState {
    /// A house at `public_base`, its address as Twilio knows it.
    pub(crate) fn new(
        settings: Settings,
        public_base: String,
        ground: StateParts,
        workshop: ToolContext,
    ) -> Result<Self, AnsweringError> {
        let StateParts {
            registry,
            store,
            metrics,
            admission,
            keyring,
            rest,
            tap,
        } = ground;
        let config_history = ConfigHistory::new(&settings, workshop)?;
        let credentials = settings.twilio.rest.as_ref();
        let account = credentials.and_then(|rest| AccountSid::parse(&rest.account_sid));
        let public_ws = public_base.replacen("http", "ws", 1);
        Ok(Self {
            registry,
            live_calls: LiveCalls::default(),
            store,
            events: EventBus::new(metrics.clone()),
            metrics,
            admission,
            pending_streams: PendingStreams::default(),
            keyring,
            refusals: Refusals::default(),
            attempts: Attempts::default(),
            node: node_name(),
            process: random_number(),
            public_http: public_base,
            public_ws,
            rest,
            account,
            tap,
            config_history,
            last: Mutex::new(settings.clone()),
            draining: AtomicBool::new(false),
            #[cfg(feature = "fault-hook")]
            breaks_webhook: AtomicBool::new(false),
            settings,
        })
    }

    /// Who answers a new call, told what its variables say, and the reading of the settings it lives under. An agent
    /// asked for by name goes before the number's.
    pub(crate) async fn who_answers(
        &self,
        called: &str,
        named: Option<&str>,
        caller: Option<&str>,
    ) -> (Arc<AgentProfile>, u32) {
        let now = jiff::Timestamp::now();
        self.config_history.ready(called, named, caller, now).await
    }

    /// Who answers a call that is known.
    pub(crate) fn answering(&self, info: &CallInfo) -> Answering {
        self.config_history
            .answering(info.config_snapshot, &info.agent.name)
    }

    /// The appointment book, if an agent has a use for it now.
    pub(crate) fn book(&self) -> Option<Arc<Book>> {
        self.config_history.book()
    }

    /// How callers are transferred now.
    pub(crate) fn transfer(&self) -> Transfer {
        self.config_history.transfer()
    }

    /// What is answered now, as far as that depends on who calls.
    pub(crate) fn callers(&self) -> CallerLimits {
        self.config_history.callers()
    }

    /// What is believed of a caller now.
    pub(crate) fn book_rules(&self) -> BookRules {
        self.config_history.book_rules()
    }

    /// An agent's language now.
    pub(crate) fn language(&self, agent: &str) -> String {
        self.config_history.language(agent)
    }

    /// New calls live under these settings from now on; their secrets hold for every request and dial.
    pub(crate) fn renew(&self, settings: &Settings) -> Result<(), AnsweringError> {
        self.config_history
            .renew(settings.clone(), &self.settings)?;
        self.keyring
            .renew(&self.settings, settings, SystemTime::now());
        let login = settings.twilio.rest.as_ref();
        if let (Some(rest), Some(login), true) =
            (&self.rest, login, self.settings.is_of_one_account(settings))
        {
            rest.log_in(login.basic());
        }
        Ok(())
    }

    /// How Twilio may have spelled the URL of a request when it signed it: as the settings do, or in the normal form that
    /// our TwiML has. From the settings, never from Host headers, which anybody can write.
    pub(crate) fn spellings(&self, request: &HttpRequest) -> Vec<String> {
        let target = request.uri().path_and_query();
        let target = target.map_or("/", |target| target.as_str());
        match self.settings.public_url() {
            Some(url) => url.spellings(target),
            None => vec![format!("{}{target}", self.public_http)],
        }
    }

    /// What a call on an accepted socket is started with.
    pub(crate) fn seed(
        &self,
        place: DownGuard,
        (info, early): (Option<CallInfo>, Option<ModelLine>),
        (agent, config_snapshot): (Arc<AgentProfile>, u32),
        pending_stream: PendingStream,
        dialler: &Dialler,
    ) -> CallSeed {
        let answering = self.config_history.answering(config_snapshot, &agent.name);
        let people = self.people(&answering, info.as_ref());
        CallSeed {
            consult_legs: people,
            choices: Arc::default(),
            other_urls: BTreeMap::new(),
            place,
            info,
            account: self.account,
            max_length: answering.max_call(),
            model_url: answering.model_url(),
            agent,
            early,
            pending_stream: Some(Box::new(pending_stream)),
            dialler: dialler.clone(),
            tools: answering.tools(),
            registry: self.registry.clone(),
            store: self.store.clone(),
            shared: Shared::new(
                self.metrics.clone(),
                self.admission.clone(),
                self.events.clone(),
                self.tap.clone(),
            )
            .logging_words(self.settings.log.transcripts),
        }
    }

    /// Whom a stream without a ticket may choose, with the URLs of their models' sockets.
    pub(crate) async fn choices(
        &self,
        config_snapshot: u32,
    ) -> (BTreeMap<String, Choice>, BTreeMap<String, Arc<str>>) {
        let (mut choices, mut urls) = (BTreeMap::new(), BTreeMap::new());
        for name in self.config_history.names(config_snapshot) {
            let (agent, config_snapshot) = self.who_answers("", Some(&name), None).await;
            let answering = self.config_history.answering(config_snapshot, &name);
            let max_length = answering.max_call();
            urls.insert(name.clone(), answering.model_url());
            choices.insert(name, Choice { agent, max_length });
        }
        (choices, urls)
    }

    /// How people are called for a call's caller, in a warm transfer.
    fn people(&self, answering: &Answering, info: Option<&CallInfo>) -> Option<ConsultLegs> {
        let transfer = answering.transfer();
        if transfer.mode != TransferMode::Warm {
            return None;
        }
        // The one of the two numbers that is the account's.
        let info = info?;
        let from = match info.direction {
            Direction::Outbound => info.number.0.clone(),
            Direction::Inbound => info.to.clone()?,
        };
        Some(ConsultLegs {
            rest: self.rest.clone()?,
            base: self.public_http.clone(),
            numbers: Arc::new(answering.targets()),
            from,
            ring_seconds: transfer.ring_seconds,
            gone: consult::gone().to_xml().ok()?,
            journal: self.store.clone(),
        })
    }

    /// The place of a call that was let in.
    pub(crate) fn place(&self, key: CallKey) -> DownGuard {
        let line = self.admission.call_began(Instant::now());
        DownGuard::new(key, self.registry.clone(), self.live_calls.clone(), line)
    }

    /// The next call is answered by a panic.
    #[cfg(feature = "fault-hook")]
    pub(crate) fn break_webhook(&self) {
        self.breaks_webhook.store(true, Ordering::Relaxed);
    }

    /// A call is about to be answered.
    #[cfg(feature = "fault-hook")]
    pub(crate) fn strike_webhook(&self) {
        let strikes = self.breaks_webhook.swap(false, Ordering::Relaxed);
        assert!(!strikes, "fault hook");
    }

    /// Asks the registry; `None` if it does not answer.
    pub(crate) async fn ask<M>(&self, question: M) -> Option<M::Result>
    where
        Registry: actix::Handler<M>,
        M: actix::Message + Send + 'static,
        M::Result: Send,
    {
        let answer = actix::clock::timeout(REGISTRY_ANSWERS, self.registry.send(question)).await;
        answer.ok()?.ok()
    }

    /// Under which names the operator reaches their listener.
    pub(crate) fn admin_names(&self) -> Names<'static> {
        match &self.settings.server.trust {
            Trust::Dev { .. } => Names::Loopback { public_url: None },
            Trust::Verified { .. } => Names::Any,
        }
    }

    /// Under which names callers reach theirs; `None`: each request has to prove who sent it.
    pub(crate) fn public_names(&self) -> Option<Names<'_>> {
        match &self.settings.server.trust {
            Trust::Dev { public_url } => Some(Names::Loopback {
                public_url: public_url.as_ref().map(|url| url.as_str()),
            }),
            Trust::Verified { .. } => None,
        }
    }

    /// Whether no new call is taken because the process leaves.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Takes no more calls; says whether it did until now.
    pub(crate) fn drain(&self) -> bool {
        let first = !self.draining.swap(true, Ordering::Relaxed);
        if first {
            self.registry
                .do_send(switchboard_actors::registry::messages::Drain);
        }
        first
    }
}

/// The standard library's own seed, which nobody can foresee.
fn random_number() -> i64 {
    let seeded = std::hash::RandomState::new();
    std::hash::BuildHasher::hash_one(&seeded, std::process::id()).cast_signed()
}

/// The host's name, or the process's number where it has none.
fn node_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => std::process::id().to_string(),
        name => name.to_owned(),
    }
}

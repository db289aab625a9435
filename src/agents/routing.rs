//! Who answers: the part of the settings that a reload changes, made ready for calls.
//!
//! A call lives under the reading of the settings it began with: its agent, fallback and transfer targets stay what
//! they were when it came.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use call_protocol::call::AgentProfile;
use call_protocol::model::command::SessionSetup;
use switchboard_actors::tools::ToolBox;

use crate::agents::catalog::{ToolContext, check_names, toolbox};
use crate::agents::profile::{AgentContext, ProfileError, profile, unavailable};
use crate::settings::variables::{self, Variable};
use crate::settings::{
    Agent, BookRules, CallerLimits, Fallback, PhoneNumber, Settings, SettingsError, ToolRef,
    Transfer, TransferMode,
};
use appointment_book::{Book, BookError, Clock, tools};

/// Readings kept for the calls that began under them. A call older than that many reloads gets the oldest kept.
const READINGS: usize = 16;

/// What a variable is filled with when nobody knows.
const UNKNOWN: &str = "unknown";

/// Why agents cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum AnsweringError {
    /// An agent's greeting cannot be played.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The settings name a tool of this process that is not in it.
    #[error(transparent)]
    Tools(#[from] SettingsError),
    /// The appointment book cannot be opened.
    #[error(
        "data.dir (SWITCHBOARD_DATA_DIR): {0}; mend it, or name a directory that can be written"
    )]
    Book(#[from] BookError),
}

/// One reading of the settings.
pub(crate) struct ConfigSnapshot {
    settings: Settings,
    /// By the agent's name: its profile, and the URL of its model.
    profiles: BTreeMap<String, (Arc<AgentProfile>, Arc<str>)>,
    default: (Arc<AgentProfile>, Arc<str>),
    /// Open if an agent has a use for it.
    book: Option<Arc<Book>>,
    tools: Arc<ToolBox>,
}

impl ConfigSnapshot {
    /// Makes the agents of the settings ready; models are dialled at the `first` settings' address.
    fn new(
        settings: Settings,
        first: &Settings,
        book: Option<Arc<Book>>,
        workshop: &ToolContext,
    ) -> Result<Self, AnsweringError> {
        let book = match book {
            Some(book) => Some(book),
            None if wants_book(&settings) => {
                let book = Book::open(first.data.dir.join(appointment_book::FILE))?;
                let faults = workshop.metrics.faults_of("book");
                book.count_with(move |fault| faults.count(fault.label()));
                let guesses = workshop.metrics.code_guesses().clone();
                book.count_guesses_with(move || guesses.inc());
                book.announce(jiff::Timestamp::now())?;
                Some(Arc::new(book))
            }
            None => None,
        };
        check_names(&settings, &workshop.own)?;
        let tools = toolbox(&settings, book.as_ref(), workshop);
        let targets = targets(&settings);
        let around = around(&settings, first, &targets, &tools);
        let ready = |agent: &Agent| -> Result<_, ProfileError> {
            let url: Arc<str> = first.openai.url_for(&agent.model.name).as_str().into();
            Ok((profile(agent, &around)?, url))
        };
        let mut profiles = BTreeMap::new();
        for (name, agent) in settings.agents() {
            for tool in unavailable(agent, &around) {
                log::warn!(target: "switchboard", agent = name.as_str(), tool; "nobody runs this tool, it is not offered to the model");
            }
            profiles.insert(name.clone(), ready(agent)?);
        }
        let default = match profiles.get(&settings.default_agent().name) {
            Some(default) => default.clone(),
            None => ready(settings.default_agent())?,
        };
        Ok(Self {
            settings,
            profiles,
            default,
            book,
            tools,
        })
    }

    fn agent(&self, name: &str) -> &Arc<Agent> {
        self.settings
            .agent(name)
            .unwrap_or_else(|| self.settings.default_agent())
    }

    fn ready(&self, name: &str) -> &(Arc<AgentProfile>, Arc<str>) {
        self.profiles.get(name).unwrap_or(&self.default)
    }
}

/// Names calls can be transferred to.
fn targets(settings: &Settings) -> Vec<String> {
    settings.transfer_targets.keys().cloned().collect()
}

fn around<'a>(
    settings: &'a Settings,
    first: &Settings,
    targets: &'a [String],
    tools: &'a ToolBox,
) -> AgentContext<'a> {
    AgentContext {
        targets,
        tools,
        configured: &settings.tools,
        built_ins: &settings.built_ins,
        briefs: settings.transfer.mode == TransferMode::Warm,
        calls_ahead: calls_ahead(settings, first),
        max_cost_usd: settings.limits.max_call_cost_usd,
    }
}

/// How an agent's sessions are configured, as far as that is known without a call: its instructions' variables stand in
/// them as they are.
pub(crate) fn session_of(
    agent: &Agent,
    settings: &Settings,
    tools: &ToolBox,
) -> Result<SessionSetup, ProfileError> {
    let targets = targets(settings);
    let profile = profile(agent, &around(settings, settings, &targets, tools))?;
    Ok(profile.session.clone())
}

/// How long people ring who are called while the caller stays: in a warm transfer, where Twilio can be asked to.
fn calls_ahead(settings: &Settings, first: &Settings) -> Option<Duration> {
    let transfer = &settings.transfer;
    let can = transfer.mode == TransferMode::Warm && first.twilio.rest.is_some();
    can.then(|| Duration::from_secs(transfer.ring_seconds.into()))
}

/// Whether an agent names a tool of the book, or asks its clock.
pub(crate) fn wants_book(settings: &Settings) -> bool {
    let is_of_the_book = |name: &str| tools().iter().any(|tool| tool.name == name);
    settings.agents().values().any(|agent| {
        agent.tools.iter().any(|tool| match tool {
            ToolRef::BuiltIn(name) => is_of_the_book(name),
            ToolRef::Configured(_) => false,
        }) || variables::used(&agent.instructions).any(Variable::is_of_the_house)
    })
}

/// All readings that calls still live under.
pub(crate) struct ConfigHistory {
    config_history: RwLock<VecDeque<(u32, Arc<ConfigSnapshot>)>>,
    workshop: ToolContext,
}

impl ConfigHistory {
    pub(crate) fn new(settings: &Settings, workshop: ToolContext) -> Result<Self, AnsweringError> {
        let first = ConfigSnapshot::new(settings.clone(), settings, None, &workshop)?;
        Ok(Self {
            config_history: RwLock::new(VecDeque::from([(0, Arc::new(first))])),
            workshop,
        })
    }

    /// Calls from now on live under these settings. Nothing is changed by ones that cannot be used.
    pub(crate) fn renew(&self, settings: Settings, first: &Settings) -> Result<(), AnsweringError> {
        let (_, newest) = self.newest();
        let book = newest.book.clone();
        let next = Arc::new(ConfigSnapshot::new(settings, first, book, &self.workshop)?);
        let mut config_history = self
            .config_history
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let number = config_history
            .back()
            .map_or(0, |(number, _)| number.wrapping_add(1));
        config_history.push_back((number, next));
        while config_history.len() > READINGS {
            config_history.pop_front();
        }
        Ok(())
    }

    fn newest(&self) -> (u32, Arc<ConfigSnapshot>) {
        let config_history = self
            .config_history
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        // There is always one: the first, or what took its place.
        config_history[config_history.len() - 1].clone()
    }

    /// The appointment book, if an agent has a use for it now.
    pub(crate) fn book(&self) -> Option<Arc<Book>> {
        self.newest().1.book.clone()
    }

    /// How callers are transferred now.
    pub(crate) fn transfer(&self) -> Transfer {
        self.newest().1.settings.transfer.clone()
    }

    /// What is answered now, as far as that depends on who calls.
    pub(crate) fn callers(&self) -> CallerLimits {
        self.newest().1.settings.callers.clone()
    }

    /// What is believed of a caller now.
    pub(crate) fn book_rules(&self) -> BookRules {
        self.newest().1.settings.book
    }

    /// An agent's language now, a BCP 47 tag.
    pub(crate) fn language(&self, agent: &str) -> String {
        self.newest().1.agent(agent).language.clone()
    }

    /// The reading of a call.
    fn of(&self, number: u32) -> Arc<ConfigSnapshot> {
        let config_history = self
            .config_history
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let found = config_history.iter().find(|(kept, _)| *kept == number);
        found.unwrap_or(&config_history[0]).1.clone()
    }

    /// The names of all agents of a reading.
    pub(crate) fn names(&self, number: u32) -> Vec<String> {
        self.of(number).settings.agents().keys().cloned().collect()
    }

    /// Who answers an agent's call under a reading.
    pub(crate) fn answering(&self, number: u32, agent: &str) -> Answering {
        Answering {
            name: agent.to_owned(),
            config_snapshot: self.of(number),
        }
    }

    /// Who answers a new call, told what its variables say, and the number of the reading. `named` is asked for by
    /// name; one that does not exist is passed over.
    pub(crate) async fn ready(
        &self,
        called: &str,
        named: Option<&str>,
        caller: Option<&str>,
        now: jiff::Timestamp,
    ) -> (Arc<AgentProfile>, u32) {
        let (number, config_snapshot) = self.newest();
        let agent = match named.and_then(|name| config_snapshot.settings.agent(name)) {
            Some(agent) => agent.clone(),
            None => config_snapshot.settings.agent_for(called).1,
        };
        let profile = config_snapshot.ready(&agent.name).0.clone();
        if variables::used(&agent.instructions).next().is_none() {
            return (profile, number);
        }
        let clock = clock(&config_snapshot, &agent, now).await;
        let said = |variable: Variable| match (variable, &clock) {
            (Variable::Caller, _) => caller.unwrap_or(UNKNOWN),
            (Variable::Agent, _) => &agent.name,
            (Variable::Date, Some(clock)) => &clock.date,
            (Variable::TimeOfDay, Some(clock)) => &clock.time_of_day,
            (Variable::OpeningHours, Some(clock)) => &clock.opening_hours,
            (Variable::Date | Variable::TimeOfDay | Variable::OpeningHours, None) => UNKNOWN,
        };
        let mut filled = (*profile).clone();
        filled.session.instructions = variables::fill(&agent.instructions, said);
        (Arc::new(filled), number)
    }
}

/// What the clock of the house says, if the agent wants to know.
async fn clock(
    config_snapshot: &ConfigSnapshot,
    agent: &Agent,
    now: jiff::Timestamp,
) -> Option<Clock> {
    let asks = variables::used(&agent.instructions).any(Variable::is_of_the_house);
    let book = config_snapshot.book.clone().filter(|_| asks)?;
    // Off this thread, which carries audio.
    match tokio::task::spawn_blocking(move || book.clock(now)).await {
        Ok(Ok(clock)) => Some(clock),
        Ok(Err(error)) => {
            log::error!(target: "switchboard::book", error:% = error; "the clock of the house cannot be read");
            None
        }
        Err(_) => None,
    }
}

/// Who answers one call, under the reading it began with.
pub(crate) struct Answering {
    pub(crate) name: String,
    config_snapshot: Arc<ConfigSnapshot>,
}

impl Answering {
    /// What the caller hears when the model cannot be had.
    pub(crate) fn fallback(&self) -> &Fallback {
        self.config_snapshot
            .settings
            .agent(&self.name)
            .map_or(&self.config_snapshot.settings.fallback, |agent| {
                &agent.fallback
            })
    }

    /// The agent's language, a BCP 47 tag.
    pub(crate) fn language(&self) -> &str {
        &self.config_snapshot.agent(&self.name).language
    }

    /// How many calls the agent takes at once.
    pub(crate) fn max_calls(&self) -> Option<usize> {
        self.config_snapshot.agent(&self.name).max_calls
    }

    /// The number of a transfer target.
    pub(crate) fn target(&self, name: &str) -> Option<&PhoneNumber> {
        self.config_snapshot.settings.transfer_targets.get(name)
    }

    /// The numbers of all transfer targets.
    pub(crate) fn targets(&self) -> BTreeMap<String, String> {
        let targets = self.config_snapshot.settings.transfer_targets.iter();
        let targets = targets.map(|(name, number)| (name.clone(), number.as_str().to_owned()));
        targets.collect()
    }

    /// How callers are transferred.
    pub(crate) fn transfer(&self) -> &Transfer {
        &self.config_snapshot.settings.transfer
    }

    /// The URL of the agent's model socket.
    pub(crate) fn model_url(&self) -> Arc<str> {
        self.config_snapshot.ready(&self.name).1.clone()
    }

    /// Runs the agent's tools.
    pub(crate) fn tools(&self) -> Arc<ToolBox> {
        self.config_snapshot.tools.clone()
    }

    /// The longest the call may last.
    pub(crate) fn max_call(&self) -> Duration {
        self.config_snapshot.agent(&self.name).max_call
    }
}

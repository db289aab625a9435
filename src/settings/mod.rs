//! Configuration: a TOML file overridden by the environment, read at start and again on SIGHUP.
//!
//! Three stages, one file each: `fragments` (the file as read) → `inputs` (merged with the environment and the table
//! of defaults in [`keys`]) → [`Settings`] (validated by `rules`, `agent_rules` and `tools`). Nothing past this module
//! sees an unchecked value, and nothing here opens a socket. Settings have no `Debug`: they hold secrets.

mod agent_rules;
pub(crate) mod agents;
mod built_in;
mod callers;
pub(crate) mod clip;
mod env;
mod error;
mod fragments;
mod inputs;
pub mod keys;
mod model_rules;
pub mod models;
mod problems;
mod read;
mod reload;
mod rules;
mod summary;
mod tool_headers;
pub mod tool_use;
mod tools;
mod types;
pub mod variables;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

pub use agents::{
    ANSWER_WITHIN, Agent, BUILT_IN_AGENT, BUILT_IN_INSTRUCTIONS, BUILT_IN_TOOLS, CALL_TOOLS,
    Eagerness, Effort, Filler, Greeting, ModelOptions, NoiseReduction, Silence, ToolRef,
    Transcription, TurnDetection, VOICES, Voice,
};
pub use built_in::BuiltIn;
pub use callers::{BookRules, CallerLimits, Identify};
pub use env::{Env, ProcessEnv};
pub use error::SettingsError;
pub use problems::SettingsErrors;
pub use reload::Changes;
pub use switchboard_base::number::PhoneNumber;
pub use tools::{Fallback, Tool, ToolKind, Transfer, TransferMode, compiled};
pub(crate) use types::as_socket;
pub use types::{PublicUrl, Secrets};

use fragments::File;
use inputs::Inputs;
use problems::Problems;

/// The validated configuration.
#[derive(Clone)]
pub struct Settings {
    /// What Twilio reaches.
    pub server: Server,
    /// What the operator reaches: the admin listener's address. Its token is in [`Trust`].
    pub admin_listen: SocketAddr,
    /// Where data is kept.
    pub data: Data,
    /// Bounds of the whole service.
    pub limits: Limits,
    /// What is answered, as far as that depends on who calls.
    pub callers: CallerLimits,
    /// What the appointment book believes of a caller.
    pub book: BookRules,
    /// The model's server.
    pub openai: OpenAi,
    /// Twilio's REST API and stream checks.
    pub twilio: Twilio,
    /// How log lines are written.
    pub log: Log,
    /// Tools of others defined in the file, by name.
    pub tools: BTreeMap<String, Tool>,
    /// Tools of this process that the file names, by name.
    pub built_ins: BTreeMap<String, BuiltIn>,
    /// What a caller hears when the model cannot be had, for agents without their own.
    pub fallback: Fallback,
    /// Where calls can be transferred, by name.
    pub transfer_targets: BTreeMap<String, PhoneNumber>,
    /// How calls are transferred.
    pub transfer: Transfer,
    /// What works today and will not for ever; for the log at start.
    pub warnings: Vec<Warning>,
    agents: BTreeMap<String, Arc<Agent>>,
    default_agent: Arc<Agent>,
    agent_by_number: HashMap<String, Arc<Agent>>,
    /// The configuration file that was read.
    file_path: Option<PathBuf>,
    /// Lines of the table of defaults, masked.
    summary: Vec<String>,
}

/// The public listener.
#[derive(Clone)]
pub struct Server {
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Worker threads.
    pub workers: usize,
    /// Whom the service believes.
    pub trust: Trust,
    /// Where Twilio finds another process while this one leaves; `None`: there is no other.
    pub fleet_url: Option<PublicUrl>,
}

/// Whom the service believes, and what it needs for that.
#[derive(Clone)]
pub enum Trust {
    /// Development on loopback: everybody.
    Dev {
        /// The address to give to Twilio; `None`: the public listener's own.
        public_url: Option<PublicUrl>,
    },
    /// Signed webhooks and operators with the token.
    Verified {
        /// The service's address as Twilio sees it.
        public_url: PublicUrl,
        /// Verify webhook signatures; the first signs tickets.
        auth_tokens: Secrets,
        /// The operator's bearer tokens.
        admin_tokens: Secrets,
    },
}

/// Where data is kept.
#[derive(Clone)]
pub struct Data {
    /// Directory of the embedded store and recordings.
    pub dir: PathBuf,
    /// Kind of the call store.
    pub store: Store,
}

/// Kind of the call store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// A file under the data directory.
    Sqlite,
    /// Nothing outlives the process.
    Memory,
}

/// Bounds of the whole service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Calls at once.
    pub max_calls: usize,
    /// Longest call, for agents that set none.
    pub max_call: Duration,
    /// How long a drain waits for live calls.
    pub drain: Duration,
    /// US dollars a call may cost at the model, before its caller meets the fallback.
    pub max_call_cost_usd: Option<f64>,
    /// US dollars all calls of a day (UTC) may cost, before new ones meet the fallback.
    pub max_day_cost_usd: Option<f64>,
}

/// The model's server.
#[derive(Clone)]
pub struct OpenAi {
    pub api_key: SecretString,
    /// Its address, without the model.
    pub url: Url,
    /// The model of agents that name none.
    pub model: String,
    /// When a session is opened.
    pub dial: DialAt,
}

/// When a call's model session is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialAt {
    /// When the media socket is accepted, on the call's own thread.
    Socket,
    /// When the webhook comes, on whichever thread took it; closed if no media socket follows.
    Webhook,
}

/// Twilio's REST API and stream checks.
#[derive(Clone)]
pub struct Twilio {
    /// The REST host.
    pub api_url: Url,
    /// Who we are there; `None`: nothing can be asked of Twilio.
    pub rest: Option<RestCredentials>,
    /// What to do with the signature of a media socket.
    pub stream_signature: StreamSignature,
}

/// HTTP Basic credentials for Twilio's REST API.
#[derive(Clone)]
pub struct RestCredentials {
    /// `AC…`, part of every path.
    pub account_sid: String,
    /// What the request authenticates with.
    pub login: RestLogin,
}

/// What a REST request authenticates with.
#[derive(Clone)]
pub enum RestLogin {
    /// The account SID and its auth token.
    AuthToken(SecretString),
    /// An API key and its secret; it cannot read the account itself.
    ApiKey {
        /// `SK…`.
        key: SecretString,
        secret: SecretString,
    },
}

/// What to do with the signature of a media socket's handshake. Webhooks are always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamSignature {
    /// Refuse a wrong or missing one.
    Require,
    /// Log it and go on: the ticket in the path still stands.
    Log,
    /// Do not look.
    Off,
}

/// How log lines are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Filter in the syntax of `RUST_LOG`.
    pub filter: String,
    /// The face of a line.
    pub format: LogFormat,
    /// Whether what was said may be logged.
    pub transcripts: bool,
}

/// The face of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `Human` on a terminal, else `Json`.
    Auto,
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

/// What works today and will not for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A model with a last day.
    ModelDeprecated {
        /// The key that names it.
        key: String,
        model: String,
        /// Its last day, ISO 8601.
        shutdown: &'static str,
        /// What to move to.
        successor: &'static str,
    },
    /// Development mode behind a tunnel: everybody who finds the address is believed.
    DevInPublic {
        /// The address.
        public_url: String,
    },
    /// A tool whose parameters have a list without a word on what is in it.
    ListOfAnything {
        /// The key of the parameters.
        key: String,
        /// Where in them.
        place: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ModelDeprecated {
                key,
                model,
                shutdown,
                successor,
            } => {
                write!(
                    out,
                    "{key} names {model}, which is shut down on {shutdown}; use {successor}"
                )
            }
            Self::DevInPublic { public_url } => {
                write!(
                    out,
                    "server.dev (SWITCHBOARD_DEV) is on while {public_url} leads here: no signature is checked"
                )
            }
            Self::ListOfAnything { key, place } => {
                write!(
                    out,
                    "{key} has a list without items at {place}; OpenAI refuses such a tool, and calls go without it; \
                     say what is in the list, as in items = {{ type = \"string\" }}"
                )
            }
        }
    }
}

impl Settings {
    /// Reads the file (`config`, else `SWITCHBOARD_CONFIG`, else `./switchboard.toml` if it exists), merges the
    /// environment over it and validates the whole.
    ///
    /// # Errors
    /// The first thing found wrong, as a sentence for the operator.
    pub fn load(config: Option<&Path>, env: &dyn Env) -> Result<Self, SettingsError> {
        Self::load_all(config, env).map_err(SettingsErrors::into_first)
    }

    /// The same, and all that is wrong.
    ///
    /// # Errors
    /// Each thing found wrong, as a sentence for the operator.
    pub fn load_all(config: Option<&Path>, env: &dyn Env) -> Result<Self, SettingsErrors> {
        rules::validate(inputs(config, env)?)
    }

    /// Where data is kept, and nothing else: for commands that need no account and no key.
    ///
    /// # Errors
    /// As [`load`](Self::load), but only for what can be read at all and for the data's own keys.
    pub fn data_only(config: Option<&Path>, env: &dyn Env) -> Result<Data, SettingsError> {
        let inputs = inputs(config, env).map_err(SettingsErrors::into_first)?;
        match inputs.problems.first() {
            Some(error) => Err(error.clone()),
            None => rules::data(&inputs),
        }
    }

    /// The same from text in memory. `path` stands for the file: in messages, and as the place where relative file
    /// names begin; it need not exist.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_toml(text: &str, path: &Path, env: &dyn Env) -> Result<Self, SettingsError> {
        Self::from_toml_all(text, path, env).map_err(SettingsErrors::into_first)
    }

    /// The same, and all that is wrong.
    ///
    /// # Errors
    /// As [`load_all`](Self::load_all).
    pub fn from_toml_all(text: &str, path: &Path, env: &dyn Env) -> Result<Self, SettingsErrors> {
        rules::validate(of_text(text, path, env)?)
    }

    /// Whether the service believes everybody.
    pub fn is_dev(&self) -> bool {
        matches!(self.server.trust, Trust::Dev { .. })
    }

    /// The service's address as Twilio sees it; `None` only in development.
    pub fn public_url(&self) -> Option<&PublicUrl> {
        match &self.server.trust {
            Trust::Dev { public_url } => public_url.as_ref(),
            Trust::Verified { public_url, .. } => Some(public_url),
        }
    }

    /// The agent that answers a called number, and its name.
    pub fn agent_for(&self, called_number: &str) -> (&str, Arc<Agent>) {
        let agent = self
            .agent_by_number
            .get(called_number)
            .unwrap_or(&self.default_agent);
        (&agent.name, Arc::clone(agent))
    }

    /// An agent by name, for outbound calls.
    pub fn agent(&self, name: &str) -> Option<&Arc<Agent>> {
        self.agents.get(name)
    }

    /// All agents by name.
    pub fn agents(&self) -> &BTreeMap<String, Arc<Agent>> {
        &self.agents
    }

    /// The agent that takes every number no other claims.
    pub fn default_agent(&self) -> &Arc<Agent> {
        &self.default_agent
    }

    /// The settings for people, a line each, with secrets and phone numbers masked.
    pub fn masked_summary(&self) -> String {
        summary::of(self)
    }
}

impl OpenAi {
    /// The address to dial for a model.
    pub fn url_for(&self, model: &str) -> Url {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("model", model);
        url
    }
}

impl RestCredentials {
    /// User name and password for HTTP Basic.
    pub fn basic(&self) -> (&str, &str) {
        use secrecy::ExposeSecret as _;
        match &self.login {
            RestLogin::AuthToken(token) => (&self.account_sid, token.expose_secret()),
            RestLogin::ApiKey { key, secret } => (key.expose_secret(), secret.expose_secret()),
        }
    }
}

fn inputs(config: Option<&Path>, env: &dyn Env) -> Result<Inputs, SettingsErrors> {
    let Some(path) = config_path(config, env)? else {
        return Ok(Inputs::merge(
            File::default(),
            None,
            env,
            Problems::default(),
        ));
    };
    let text = std::fs::read_to_string(&path).map_err(|error| SettingsError::FileUnreadable {
        path: path.clone(),
        cause: error.to_string(),
    })?;
    of_text(&text, &path, env)
}

/// A file that is no TOML says nothing of what else is wrong.
fn of_text(text: &str, path: &Path, env: &dyn Env) -> Result<Inputs, SettingsErrors> {
    let mut problems = Problems::default();
    match fragments::parse(text, path, &mut problems) {
        Some(file) => Ok(Inputs::merge(file, Some(path), env, problems)),
        None => problems.end(None),
    }
}

fn config_path(config: Option<&Path>, env: &dyn Env) -> Result<Option<PathBuf>, SettingsError> {
    if let Some(path) = config {
        return Ok(Some(path.to_owned()));
    }
    if let Some(path) = env::non_empty(env, keys::CONFIG_ENV)? {
        return Ok(Some(PathBuf::from(path)));
    }
    let usual = Path::new(keys::CONFIG_FILE);
    Ok(usual.exists().then(|| usual.to_owned()))
}

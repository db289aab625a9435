//! Tools: run beside the call, on its thread, each wish once.
//!
//! | file | question it answers |
//! | --- | --- |
//! | `mod` | what is a tool, and which are there? |
//! | `runner` | one run: checked, journalled, timed, survived |
//! | `once` | has this effect happened? |
//! | `http` | a signed POST to somebody's server |
//! | `address` | which addresses may a tool reach? |
//! | `arguments` | do the arguments fit? |
//!
//! A run belongs to nobody: it goes on when its call is built anew, and when its call is over, so that an effect that
//! was begun is also written down. Its answer goes to the call along a weak link.

mod address;
mod arguments;
mod http;
mod journal;
mod runner;

pub use address::{Resolve, is_public, resolve_by_system};
pub use arguments::{Arguments, SchemaError, list_of_anything};
pub use http::{HttpTool, MAX_REPLY, Web, signature};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use call_protocol::phone::CallSid;
use call_protocol::tool::ToolSpec;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::metrics::Metrics;
use crate::store::CallStore;

/// What came of a tool: text for the model of what was done, or found, JSON where there is a shape to it; or why not.
///
/// The class decides what a repeat of the same wish means: what was done is not done again, what certainly changed
/// nothing may be tried again, and what nobody knows is asked back.
pub type Outcome = Result<String, ToolError>;

/// A tool in this process.
///
/// Its future may be dropped at its deadline, unless it has effects. A panic in it costs this run only.
pub trait Tool: Send + Sync + 'static {
    /// Does what is asked. Must not block; [`Blocking`] makes a tool of code that does.
    fn run(&self, request: ToolRequest) -> BoxFuture<'static, Outcome>;

    /// Whether the same key with the same arguments gives the first outcome again instead of a second effect. Then a
    /// run whose outcome is unknown is simply made once more.
    fn knows_its_key(&self) -> bool {
        false
    }
}

/// What a tool is asked.
#[derive(Clone, Debug)]
pub struct ToolRequest {
    /// The tool's name.
    pub tool: String,
    /// The model's call.
    pub call_id: String,
    /// Names the effect, or the run if it has none.
    pub key: String,
    /// Whether it may change something.
    pub effects: bool,
    /// The arguments; they fit the tool's schema.
    pub arguments: Map<String, Value>,
    /// The phone call.
    pub caller: Caller,
}

/// The phone call a tool is run for.
#[derive(Clone)]
pub struct Caller {
    pub call: CallSid,
    /// The caller's number as Twilio has it, in full; empty if it is not known.
    pub number: String,
    /// The agent's name.
    pub agent: String,
}

impl std::fmt::Debug for Caller {
    /// Without the number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {}", self.call, self.agent)
    }
}

/// What the model is told of something that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    Sentence(String),
    /// JSON text with the sentence in `error` and what else could be had beside it.
    Answer(String),
}

impl From<String> for Why {
    fn from(sentence: String) -> Self {
        Self::Sentence(sentence)
    }
}

/// Why a tool did not do what it was asked; the words are for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolError {
    /// Not with these arguments; nothing was done.
    Refused(Why),
    /// It could not be done; nothing was done.
    Failed(Why),
    /// Nobody knows whether it was done.
    Unknown(String),
    /// No answer in time.
    TimedOut,
}

/// A tool made of a function that blocks, such as one over SQLite: run on a thread of its own.
pub struct Blocking<F> {
    call: Arc<F>,
    knows_its_key: bool,
}

impl<F> Blocking<F>
where
    F: Fn(ToolRequest) -> Outcome + Send + Sync + 'static,
{
    /// A tool of this function; `knows_its_key` as in [`Tool::knows_its_key`].
    pub fn new(knows_its_key: bool, call: F) -> Self {
        Self {
            call: Arc::new(call),
            knows_its_key,
        }
    }
}

impl<F> Tool for Blocking<F>
where
    F: Fn(ToolRequest) -> Outcome + Send + Sync + 'static,
{
    fn run(&self, request: ToolRequest) -> BoxFuture<'static, Outcome> {
        let call = self.call.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || call(request)).await;
            match done {
                Ok(outcome) => outcome,
                // On with the panic of that thread: the runner knows what to do with one.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => Err(ToolError::Unknown("the service is stopping".to_owned())),
            }
        })
    }

    fn knows_its_key(&self) -> bool {
        self.knows_its_key
    }
}

/// Where a tool runs.
pub enum Place {
    /// In this process.
    Local(Arc<dyn Tool>),
    /// On somebody's server.
    Http(Box<HttpTool>),
}

impl Place {
    fn knows_its_key(&self) -> bool {
        match self {
            Self::Local(tool) => tool.knows_its_key(),
            Self::Http(tool) => tool.knows_its_key,
        }
    }
}

/// A tool in the box.
struct Entry {
    spec: ToolSpec,
    /// The schema of `spec`.
    arguments: Arguments,
    place: Place,
}

/// All tools of the process; shared by all threads.
pub struct ToolBox {
    tools: BTreeMap<String, Entry>,
    web: Option<Web>,
    once: journal::EffectJournal,
    metrics: Arc<Metrics>,
}

impl ToolBox {
    /// An empty box. Without a `web` no tool reaches a server; without a `store` effects are once in this process only.
    #[must_use]
    pub fn new(web: Option<Web>, store: Option<Arc<dyn CallStore>>, metrics: Arc<Metrics>) -> Self {
        Self {
            tools: BTreeMap::new(),
            web,
            once: journal::EffectJournal::new(store),
            metrics,
        }
    }

    /// Puts a tool in, in the place of one of the same name.
    ///
    /// # Errors
    /// When its parameters are no JSON Schema; the box is as before then.
    pub fn add(&mut self, spec: ToolSpec, place: Place) -> Result<(), SchemaError> {
        let arguments = Arguments::compile(&spec.parameters)?;
        let entry = Entry {
            spec,
            arguments,
            place,
        };
        self.tools.insert(entry.spec.name.clone(), entry);
        Ok(())
    }

    /// Changes what is told of a tool, if there is one of that name.
    ///
    /// # Errors
    /// When its parameters are no JSON Schema any more; the tool is as before then.
    pub fn describe(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut ToolSpec),
    ) -> Result<(), SchemaError> {
        let Some(entry) = self.tools.get_mut(name) else {
            return Ok(());
        };
        let mut spec = entry.spec.clone();
        change(&mut spec);
        entry.arguments = Arguments::compile(&spec.parameters)?;
        entry.spec = spec;
        Ok(())
    }

    /// The tool of that name as the call machine and the model know it.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.tools.get(name).map(|entry| &entry.spec)
    }
}

impl std::fmt::Debug for ToolBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.tools.keys()).finish()
    }
}

/// A tool without effects that does not come to its end is dropped at its deadline; one with effects is let finish, to
/// be written down, but not for ever.
const LONGEST_EFFECT: Duration = Duration::from_secs(120);

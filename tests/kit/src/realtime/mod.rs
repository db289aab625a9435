//! An emulated Realtime server: the GA interface of the OpenAI Realtime API over WebSocket, as of November 2026.
//!
//! It checks what a client says as strictly as the real one, hears the caller with a voice activity detector on the
//! sample clock, answers with recorded speech after a script, and misbehaves on demand ([`Fault`]). What it received and
//! what it knows to be true about each item can be looked at while it runs ([`Session`]).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use switchboard_kit::realtime::{Fault, Realtime, Script, When};
//!
//! let server = Realtime::builder().script(Script::spa()).speed(5.0).start().await?;
//! assert!(server.url().starts_with("ws://127.0.0.1:"));
//! server.faults().nth(2, Fault::Reset { when: When::AfterDeltas(3) });
//! // … dial server.url(), then look:
//! assert!(server.sessions().is_empty());
//! server.stop().await;
//! # Ok(()) }
//! ```
//!
//! # Scripts
//!
//! TOML or JSON. A response takes the next of `turns`, whether it was asked for by the end of a caller's turn or, after
//! a tool output, by `response.create`.
//!
//! ```
//! use switchboard_kit::realtime::Script;
//!
//! let script: Script = r#"
//!     name = "example"
//!
//!     ## Answers a `response.create` before the caller has spoken.
//!     [greeting]
//!     says = [{ clip = "greeting" }]
//!
//!     ## One answer after the other. `hears` is the transcript of the caller's turn.
//!     [[turns]]
//!     hears = "Do you know me?"
//!     says = [{ clip = "moment" }]
//!     tools = [{ name = "crm_lookup", arguments = { phone = "+15550142" } }]
//!
//!     ## No `hears`: follows the tool's output.
//!     [[turns]]
//!     says = [{ tone_hz = 440, ms = 800, text = "Welcome back!" }, { file = "more.wav", text = "And more." }]
//!     think_ms = 900
//!
//!     [[turns]]
//!     hears = "And now?"
//!     says = [{ written = "Text where speech was asked for." }]
//!
//!     ## completed (default), max_output_tokens, content_filter, server_error, quota, hangs, or this:
//!     [[turns]]
//!     status = { rate_limited = "6.232s" }
//!
//!     [otherwise]     # when the turns are used up
//!     says = [{ clip = "sorry" }]
//!     [idle]          # when idle_timeout_ms has passed
//!     says = [{ clip = "still_there" }]
//!     [unprompted]    # a response.create that nothing has asked for
//!     says = [{ clip = "filler" }]
//!     [aside]         # a response.create with conversation "none"
//!     says = [{ written = "A summary." }]
//! "#
//! .parse()?;
//! assert_eq!(script.turns.len(), 4);
//! # Ok::<(), switchboard_kit::realtime::ScriptError>(())
//! ```
//!
//! # What is left out
//!
//! Asking MCP servers (tools of that type are accepted and never called), transcription and translation sessions, DTMF
//! and the `output_audio_buffer` events of SIP and WebRTC. `audio.output.speed` is accepted and changes nothing.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

mod answer;
mod armed;
mod check;
mod config;
mod conversation;
mod door;
mod echo;
mod engine;
mod faults;
mod input;
mod inspect;
mod outbox;
mod outcome;
mod output;
mod plan;
mod prompter;
mod requests;
mod schema;
mod script;
mod session;
mod sound;
mod stage;
#[cfg(test)]
mod time_tests;
mod turns;
mod vad;
mod wire;

pub use faults::{Fault, Faults, When};
pub use inspect::{Ended, Greeting, ItemTruth, Logged, Recording, ResponseTruth, Session};
pub use plan::DeltaSize;
pub use prompter::{Resume, Source};
pub use schema::Model;
pub use script::{Ending, Say, Script, ScriptError, Step, ToolCall};
pub use sound::Format;

use door::Policy;
use engine::Settings;
use plan::Pace;
use prompter::Prepared;

/// Sessions a server remembers; the oldest are forgotten first.
const SESSIONS_KEPT: usize = 4_096;

/// A server to be: what it says, how fast, whom it lets in.
#[derive(Debug, Clone)]
pub struct Realtime {
    listen: String,
    script: Script,
    resume: Resume,
    keys: Option<Vec<String>>,
    models: Vec<Model>,
    faults: Vec<Fault>,
    think: Duration,
    speed: f64,
    delta_size: DeltaSize,
    transcription_delay: Duration,
    min_speech_ms: u64,
    recording: Recording,
    seed: u64,
}

impl Realtime {
    /// A healthy server on a free loopback port that plays [`Script::spa`]: 300 ms to the first audio, 5 times real
    /// time, deltas of about 4,000 bytes.
    #[must_use]
    pub fn builder() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            script: Script::spa(),
            resume: Resume::default(),
            keys: None,
            models: schema::known_models(),
            faults: Vec::new(),
            think: Duration::from_millis(300),
            speed: 5.0,
            delta_size: DeltaSize::default(),
            transcription_delay: Duration::from_millis(400),
            min_speech_ms: 60,
            recording: Recording::default(),
            seed: 7,
        }
    }

    /// Where to listen, as `host:port`; port 0 takes a free one.
    #[must_use]
    pub fn listen(mut self, address: impl ToString) -> Self {
        self.listen = address.to_string();
        self
    }

    /// What the model says.
    #[must_use]
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// Where a new session takes up the script.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }

    /// The keys that are valid. Without this every key is.
    #[must_use]
    pub fn keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.keys = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// One more model.
    #[must_use]
    pub fn model(mut self, model: Model) -> Self {
        self.models.retain(|known| known.name != model.name);
        self.models.push(model);
        self
    }

    /// Something that goes wrong in every session.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Milliseconds from a response's creation to its first output, where the script does not say otherwise.
    #[must_use]
    pub fn think_ms(mut self, ms: u64) -> Self {
        self.think = Duration::from_millis(ms);
        self
    }

    /// The multiple of real time at which audio is sent; not less than 0.01.
    #[must_use]
    pub fn speed(mut self, times: f64) -> Self {
        self.speed = times.max(0.01);
        self
    }

    /// Size of audio deltas.
    #[must_use]
    pub fn delta_size(mut self, size: DeltaSize) -> Self {
        self.delta_size = size;
        self
    }

    /// Milliseconds from the end of a caller's turn to its transcript.
    #[must_use]
    pub fn transcription_delay_ms(mut self, ms: u64) -> Self {
        self.transcription_delay = Duration::from_millis(ms);
        self
    }

    /// How long loudness must last to be speech, in milliseconds.
    #[must_use]
    pub fn min_speech_ms(mut self, ms: u64) -> Self {
        self.min_speech_ms = ms;
        self
    }

    /// How much is kept for inspection.
    #[must_use]
    pub fn recording(mut self, recording: Recording) -> Self {
        self.recording = recording;
        self
    }

    /// Where ids and delta sizes come from; the same seed gives the same ones.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Listens. Sessions run as tasks of the current tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound, or the script names audio that is not there (`InvalidInput`).
    pub async fn start(self) -> io::Result<Running> {
        let script = Prepared::new(&self.script)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let listener = TcpListener::bind(&self.listen).await?;
        let address = listener.local_addr()?;
        let faults = Faults::default();
        for fault in self.faults {
            faults.every(fault);
        }
        let shared = Arc::new(Shared {
            policy: Policy {
                keys: self.keys,
                models: self.models,
            },
            settings: Arc::new(Settings {
                script: Arc::new(script),
                resume: self.resume,
                carried: Arc::default(),
                pace: Pace {
                    think: self.think,
                    speed: self.speed,
                    delta_size: self.delta_size,
                },
                transcription_delay: self.transcription_delay,
                min_speech_ms: self.min_speech_ms,
                seed: self.seed,
            }),
            faults,
            recording: self.recording,
            sessions: Mutex::default(),
            arrived: watch::Sender::new(()),
        });
        log::info!(address:% = address, script = self.script.name.as_str(); "emulated model listens");
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Running {
            address,
            shared,
            task,
        })
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    sessions.spawn(session::serve(tcp, shared.clone()));
                }
                Err(error) => {
                    log::warn!(error:% = error; "accept failed");
                    // Out of file descriptors, most likely: trying again at once would only spin.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(ended) = sessions.join_next() => if let Err(error) = ended {
                log::error!(error:% = error; "session task failed");
            },
        }
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) policy: Policy,
    pub(crate) settings: Arc<Settings>,
    pub(crate) faults: Faults,
    pub(crate) recording: Recording,
    sessions: Mutex<VecDeque<Session>>,
    arrived: watch::Sender<()>,
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, VecDeque<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remember(&self, session: Session) {
        let mut sessions = self.sessions();
        if sessions.len() == SESSIONS_KEPT {
            sessions.pop_front();
        }
        sessions.push_back(session);
        drop(sessions);
        self.arrived.send_replace(());
    }
}

/// A server that runs. Dropping it ends it, with every session.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What to dial, without the query: `ws://127.0.0.1:port/v1/realtime`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/v1/realtime", self.address)
    }

    /// Every connection so far, refused ones included, in the order they came.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.shared.sessions().iter().cloned().collect()
    }

    /// Connection `number`, counted from 1.
    #[must_use]
    pub fn session(&self, number: usize) -> Option<Session> {
        let sessions = self.shared.sessions();
        sessions
            .iter()
            .find(|session| session.number() == number)
            .cloned()
    }

    /// Waits until connection `number` exists, at most `within`.
    pub async fn wait_for_session(&self, number: usize, within: Duration) -> Option<Session> {
        let mut changes = self.shared.arrived.subscribe();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if let Some(session) = self.session(number) {
                    return session;
                }
                if changes.changed().await.is_err() {
                    // Cannot be while `self` holds the sender.
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(within, wait).await.ok()
    }

    /// What goes wrong, and what shall go wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Ends the server and every session; afterwards the port is free.
    pub async fn stop(mut self) {
        self.task.abort();
        // An aborted task is no news.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

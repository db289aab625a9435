//! The server as a whole: how it is set up, how connections come in, how it ends.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::engine::Settings;
use super::faults::{Fault, Faults};
use super::inspect::{Recording, Session};
use super::plan::{DeltaSize, Pace};
use super::prepared::Prepared;
use super::schema::{self, Model};
use super::script::Script;
use super::script_cursor::Resume;
use super::session;
use super::upgrade::Policy;

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
    /// A healthy server on a free loopback port that plays [`Script::chat`]: 300 ms to the first audio, 5 times real
    /// time, deltas of about 4,000 bytes.
    #[must_use]
    pub fn builder() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            script: Script::chat(),
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

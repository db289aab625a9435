//! What a session received, sent and knows to be true, for tests to look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::script_cursor::Source;
use super::sound::Format;

/// An event of either direction.
#[derive(Debug, Clone)]
pub struct Logged {
    /// When it arrived, or was handed to the socket.
    pub at: Instant,
    /// Its `type`; empty if it has none.
    pub kind: String,
    text: Utf8Bytes,
}

impl Logged {
    /// The event as it was on the wire. Empty for `input_audio_buffer.append`: that audio is in
    /// [`Session::appended`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The event as JSON; null for what is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// What is known about an item of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemTruth {
    /// The item's id.
    pub id: String,
    /// `message`, `function_call`, `function_call_output` …
    pub kind: String,
    /// `user`, `assistant`, `system` for messages.
    pub role: Option<String>,
    /// Its words: transcript, text, arguments or output.
    pub text: String,
    /// Milliseconds of audio the server has generated for it.
    pub generated_ms: u64,
    /// Where the client cut it, if it did.
    pub truncated_to_ms: Option<u64>,
    /// The client deleted it.
    pub deleted: bool,
    /// Created by the client rather than spoken or answered here.
    pub from_client: bool,
}

/// What is known about a response.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseTruth {
    /// The response's id.
    pub id: String,
    /// Where in the script it came from.
    pub source: Source,
    /// `in_progress`, then as in `response.done`.
    pub status: String,
    /// When it was created.
    pub created: Instant,
    /// When its first audio was sent.
    pub first_audio: Option<Instant>,
    /// When it was done.
    pub done: Option<Instant>,
    /// Milliseconds of audio sent.
    pub audio_ms: u64,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Never became a WebSocket: the HTTP status of the refusal, 0 if there was none.
    Refused(u16),
    /// The client closed, with this code and reason if it gave one.
    ByClient(Option<(u16, String)>),
    /// The server closed, with this code and reason.
    ByServer(u16, String),
    /// The server reset the connection.
    Reset,
    /// The connection broke.
    Lost(String),
}

/// How the client presented itself.
#[derive(Clone, Default)]
pub struct Greeting {
    /// Path of the upgrade request.
    pub path: String,
    /// Its query, undecoded.
    pub query: String,
    /// Its headers, names in lower case, without `authorization`.
    pub headers: Vec<(String, String)>,
    /// The bearer key.
    pub api_key: Option<String>,
}

impl Greeting {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl std::fmt::Debug for Greeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Greeting")
            .field("path", &self.path)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

/// One connection as the server saw it; cheap to clone, shows the present state each time it is asked.
#[derive(Debug, Clone)]
pub struct Session(pub(crate) Arc<SessionLog>);

impl Session {
    /// Which connection it is, counted from 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.0.number
    }

    /// When the TCP connection was accepted.
    #[must_use]
    pub fn opened(&self) -> Instant {
        self.0.opened
    }

    /// The upgrade request.
    #[must_use]
    pub fn greeting(&self) -> Greeting {
        self.0.state().greeting.clone()
    }

    /// Client events in the order they came.
    #[must_use]
    pub fn received(&self) -> Vec<Logged> {
        self.0.state().received.clone()
    }

    /// The client events of one type, as JSON.
    #[must_use]
    pub fn received_of(&self, kind: &str) -> Vec<Value> {
        of_kind(&self.0.state().received, kind)
    }

    /// Server events in the order they went, without the echoes of probe frames.
    #[must_use]
    pub fn sent(&self) -> Vec<Logged> {
        self.0.state().sent.clone()
    }

    /// The server events of one type, as JSON.
    #[must_use]
    pub fn sent_of(&self, kind: &str) -> Vec<Value> {
        of_kind(&self.0.state().sent, kind)
    }

    /// Audio appended so far, probe frames not included, in the format it was declared to have.
    #[must_use]
    pub fn appended(&self) -> Vec<u8> {
        self.0.state().appended.clone()
    }

    /// How many bytes that is; known even when audio is not kept.
    #[must_use]
    pub fn appended_bytes(&self) -> u64 {
        self.0.state().appended_bytes
    }

    /// The declared format of appended audio.
    #[must_use]
    pub fn input_format(&self) -> Format {
        self.0.state().input_format
    }

    /// Probe frames sent back.
    #[must_use]
    pub fn echoed_frames(&self) -> u64 {
        self.0.state().echoed_frames
    }

    /// Items in the order they were made, deleted ones included.
    #[must_use]
    pub fn items(&self) -> Vec<ItemTruth> {
        self.0.state().items.clone()
    }

    /// One of them.
    #[must_use]
    pub fn item(&self, id: &str) -> Option<ItemTruth> {
        let state = self.0.state();
        state.items.iter().find(|item| item.id == id).cloned()
    }

    /// What the client told the session with `conversation.item.create`, in order.
    #[must_use]
    pub fn replayed(&self) -> Vec<ItemTruth> {
        let mut items = self.items();
        items.retain(|item| item.from_client);
        items
    }

    /// Responses in the order they were created.
    #[must_use]
    pub fn responses(&self) -> Vec<ResponseTruth> {
        self.0.state().responses.clone()
    }

    /// The effective configuration; null before `session.created`.
    #[must_use]
    pub fn config(&self) -> Value {
        self.0.state().config.clone()
    }

    /// The turn of the script that comes next, counted from 0.
    #[must_use]
    pub fn position(&self) -> usize {
        self.0.state().position
    }

    /// How it ended; `None` while it is open.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.0.state().ended.clone()
    }

    /// Waits until `what` is so, at most `within`; says whether it came about.
    pub async fn until(&self, within: Duration, mut what: impl FnMut(&Self) -> bool) -> bool {
        let mut changes = self.0.changed.subscribe();
        let wait = async {
            while !what(self) {
                if changes.changed().await.is_err() {
                    return what(self);
                }
            }
            true
        };
        tokio::time::timeout(within, wait).await.unwrap_or(false)
    }
}

fn of_kind(log: &[Logged], kind: &str) -> Vec<Value> {
    let wanted = log.iter().filter(|event| event.kind == kind);
    wanted.map(Logged::json).collect()
}

/// How much a server keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recording {
    /// Every event and all audio: for tests.
    #[default]
    Everything,
    /// Items, responses and counts: for servers that run for long.
    Counts,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) greeting: Greeting,
    received: Vec<Logged>,
    sent: Vec<Logged>,
    appended: Vec<u8>,
    appended_bytes: u64,
    input_format: Format,
    pub(crate) echoed_frames: u64,
    pub(crate) items: Vec<ItemTruth>,
    pub(crate) responses: Vec<ResponseTruth>,
    pub(crate) config: Value,
    pub(crate) position: usize,
    ended: Option<Ended>,
}

/// The writing side.
#[derive(Debug)]
pub(crate) struct SessionLog {
    number: usize,
    opened: Instant,
    recording: Recording,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl SessionLog {
    pub(crate) fn new(number: usize, opened: Instant, recording: Recording) -> Self {
        Self {
            number,
            opened,
            recording,
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits for that.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.send_replace(());
    }

    pub(crate) fn received(&self, at: Instant, kind: &str, text: &str) {
        if self.recording == Recording::Counts {
            return;
        }
        let (kind, text) = (kind.to_owned(), Utf8Bytes::from(text));
        self.update(|state| state.received.push(Logged { at, kind, text }));
    }

    pub(crate) fn appended(&self, at: Instant, audio: &[u8], format: Format) {
        let everything = self.recording == Recording::Everything;
        self.update(|state| {
            state.appended_bytes += audio.len() as u64;
            state.input_format = format;
            if everything {
                state.appended.extend_from_slice(audio);
                state.received.push(Logged {
                    at,
                    kind: "input_audio_buffer.append".to_owned(),
                    text: Utf8Bytes::default(),
                });
            }
        });
    }

    pub(crate) fn sent(&self, at: Instant, text: &Utf8Bytes) {
        if self.recording == Recording::Counts {
            return;
        }
        let (kind, text) = (kind_of(text).to_owned(), text.clone());
        self.update(|state| state.sent.push(Logged { at, kind, text }));
    }

    pub(crate) fn ended(&self, how: Ended) {
        self.update(|state| {
            state.ended.get_or_insert(how);
        });
    }

    pub(crate) fn item(&self, id: &str, change: impl FnOnce(&mut ItemTruth)) {
        self.update(|state| {
            if let Some(item) = state.items.iter_mut().find(|item| item.id == id) {
                change(item);
            }
        });
    }

    pub(crate) fn response(&self, id: &str, change: impl FnOnce(&mut ResponseTruth)) {
        self.update(|state| {
            // The one in question is nearly always the last.
            let mut newest_first = state.responses.iter_mut().rev();
            if let Some(response) = newest_first.find(|response| response.id == id) {
                change(response);
            }
        });
    }
}

/// The `type` of an event this server wrote, which always comes first.
fn kind_of(text: &str) -> &str {
    text.strip_prefix("{\"type\":\"")
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_default()
}

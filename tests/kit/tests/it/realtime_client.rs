//! A plain client of the emulated server, for the tests next door.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use switchboard_kit::realtime::{Realtime, Running, Script, Session};
use switchboard_kit::speech;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Long enough for a busy machine, short enough to notice that nothing comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A server that does not make a test wait.
pub(crate) fn quick() -> Realtime {
    Realtime::builder()
        .think_ms(5)
        .speed(200.0)
        .transcription_delay_ms(5)
}

pub(crate) async fn dial_with(
    url: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, Error> {
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    Ok(tokio_tungstenite::connect_async(request).await?.0)
}

pub(crate) struct Client {
    pub(crate) socket: Socket,
    /// Everything received so far.
    pub(crate) seen: Vec<Value>,
    taken: usize,
}

impl Client {
    pub(crate) async fn dial(server: &Running) -> Self {
        Self::dial_model(server, "gpt-realtime-2.1").await
    }

    pub(crate) async fn dial_model(server: &Running, model: &str) -> Self {
        let url = format!("{}?model={model}", server.url());
        let socket = dial_with(&url, &[("authorization", "Bearer sk-test")])
            .await
            .unwrap();
        Self {
            socket,
            seen: Vec::new(),
            taken: 0,
        }
    }

    /// Dialled, created, and set to µ-law both ways with the spa's turn detection.
    pub(crate) async fn ready(server: &Running) -> Self {
        let mut client = Self::dial(server).await;
        client.until("session.created").await;
        client.configure().await;
        client
    }

    pub(crate) async fn configure(&mut self) {
        self.send(json!({"type": "session.update", "event_id": "su", "session": phone_session()}))
            .await;
        self.until("session.updated").await;
    }

    pub(crate) async fn send(&mut self, event: Value) {
        self.send_text(event.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn append(&mut self, mulaw: &[u8]) {
        self.send(json!({"type": "input_audio_buffer.append", "audio": STANDARD.encode(mulaw)}))
            .await;
    }

    /// Speaks a clip and is silent for a while after it; faster than real time.
    pub(crate) async fn speak(&mut self, clip: &str) {
        let audio = speech::caller(clip).unwrap().mulaw();
        for frame in audio.chunks(160) {
            self.append(frame).await;
        }
        self.silence(700).await;
    }

    pub(crate) async fn silence(&mut self, ms: usize) {
        for _ in 0..ms / 20 {
            self.append(&[0xFF; 160]).await;
        }
    }

    pub(crate) async fn frame(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(PATIENCE, self.socket.next())
            .await
            .expect("the server says nothing")
    }

    /// The next event; panics on anything else.
    pub(crate) async fn event(&mut self) -> Value {
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => {
                    let event: Value = serde_json::from_str(&text).unwrap();
                    self.seen.push(event.clone());
                    return event;
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no event but {other:?}"),
            }
        }
    }

    /// Reads until an event of that type comes, and returns it.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// Asks for something and returns the error it brings.
    pub(crate) async fn refused(&mut self, mut event: Value) -> Value {
        event["event_id"] = "mine".into();
        self.send(event).await;
        let error = self.until("error").await["error"].take();
        assert_eq!(error["event_id"], "mine", "{error}");
        error
    }

    /// The types of what came since the last call.
    pub(crate) fn kinds(&mut self) -> Vec<String> {
        let new = self.seen[self.taken..].iter();
        let kinds = new
            .map(|event| event["type"].as_str().unwrap().to_owned())
            .collect();
        self.taken = self.seen.len();
        kinds
    }

    pub(crate) fn of(&self, kind: &str) -> Vec<&Value> {
        self.seen
            .iter()
            .filter(|event| event["type"] == kind)
            .collect()
    }

    /// The audio of an item, put together.
    pub(crate) fn audio_of(&self, item_id: &str) -> Vec<u8> {
        let deltas = self.of("response.output_audio.delta").into_iter();
        let own = deltas.filter(|delta| delta["item_id"] == item_id);
        own.flat_map(|delta| STANDARD.decode(delta["delta"].as_str().unwrap()).unwrap())
            .collect()
    }
}

/// What a telephone bridge asks for.
pub(crate) fn phone_session() -> Value {
    json!({
        "type": "realtime",
        "instructions": "You answer the phone.",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "gpt-transcribe", "language": "en"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "cedar"},
        },
    })
}

pub(crate) async fn session(server: &Running, number: usize) -> Session {
    server.wait_for_session(number, PATIENCE).await.unwrap()
}

pub(crate) fn script(text: &str) -> Script {
    text.parse().unwrap()
}

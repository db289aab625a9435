//! A phone leg by hand: webhook, ticket, media socket, and whatever messages a test wants to send on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use switchboard_kit::twilio::signature::sign;
use switchboard_kit::twilio::twiml::{self, Connect, Verb};
use switchboard_kit::twilio::{SidMint, StreamEnd};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::http::{Reply, Request, ring};
use super::{ACCOUNT, AUTH_TOKEN, PUBLIC, SOON, TestService};

/// A SID that was never given before.
pub fn sid(prefix: &str) -> String {
    let mint: Arc<SidMint> = SidMint::of_process();
    mint.mint(prefix)
}

/// The `<Connect>` of a TwiML answer.
pub fn connect_of(reply: &Reply) -> Connect {
    let document = twiml::parse("text/xml", &reply.body, PUBLIC).expect("TwiML");
    assert_eq!(document.problems, [], "{}", reply.text());
    for verb in document.verbs {
        if let Verb::Connect(connect) = verb {
            return connect;
        }
    }
    panic!("no <Connect> in {}", reply.text());
}

/// The path of a media socket.
pub fn path_of(url: &str) -> String {
    url.strip_prefix("wss://spa.example")
        .unwrap_or_else(|| panic!("{url} is not ours"))
        .to_owned()
}

/// How a stream ends that the service closes with this code.
pub const fn closed_with(code: u16) -> StreamEnd {
    StreamEnd::ServerClosed {
        code: Some(code),
        reason: String::new(),
    }
}

impl TestService {
    /// The webhook of a call: its answer.
    pub async fn ring(&self, call_sid: &str) -> Reply {
        Request::signed("/incoming-call", &ring(call_sid, "+15550142"))
            .send(self.public)
            .await
    }

    /// Announces a call; gives the path of its media socket.
    pub async fn ticket(&self, call_sid: &str) -> String {
        let reply = self.ring(call_sid).await;
        assert_eq!(reply.status, 200);
        path_of(&connect_of(&reply).stream.url)
    }

    /// Opens a media socket with Twilio's signature; the error is the HTTP status of the refusal.
    pub async fn open(&self, path: &str) -> Result<Leg, u16> {
        let url = format!("wss://spa.example{path}");
        let signature = sign::<&str, &str>(AUTH_TOKEN, &url, &[]);
        self.open_signed(path, &[&signature]).await
    }

    /// Opens a media socket with these signatures.
    pub async fn open_signed(&self, path: &str, signatures: &[&str]) -> Result<Leg, u16> {
        Leg::open(self.public, path, signatures).await
    }

    /// Announces a call and opens its media socket.
    pub async fn pick_up(&self, call_sid: &str) -> Leg {
        let reply = self.ring(call_sid).await;
        assert_eq!(reply.status, 200);
        self.follow(&reply, call_sid).await
    }

    /// Opens the media socket that an answer names.
    pub async fn follow(&self, reply: &Reply, call_sid: &str) -> Leg {
        let path = path_of(&connect_of(reply).stream.url);
        let mut leg = self.open(&path).await.expect("the ticket opens the socket");
        leg.call = call_sid.to_owned();
        leg
    }
}

/// An open media socket of one call.
pub struct Leg {
    pub socket: WebSocketStream<TcpStream>,
    pub call: String,
    pub stream: String,
    sequence: u64,
    chunk: u64,
}

/// How a media socket ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Closed {
    /// With a close frame, and its code if it had one.
    Code(Option<u16>),
    /// Without one.
    Lost,
}

impl Leg {
    /// Opens a media socket with these signatures; the error is the HTTP status of the refusal.
    pub async fn open(to: SocketAddr, path: &str, signatures: &[&str]) -> Result<Self, u16> {
        let url = format!("ws://spa.example{path}");
        let mut request = url.into_client_request().unwrap();
        for signature in signatures {
            request
                .headers_mut()
                .append("x-twilio-signature", signature.parse().unwrap());
        }
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let opening = tokio_tungstenite::client_async(request, stream);
        match tokio::time::timeout(SOON, opening)
            .await
            .expect("an answer")
        {
            Ok((socket, _)) => Ok(Self::new(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no upgrade: {error}"),
        }
    }

    fn new(socket: WebSocketStream<TcpStream>) -> Self {
        Self {
            socket,
            call: sid("CA"),
            stream: sid("MZ"),
            sequence: 0,
            chunk: 0,
        }
    }

    /// Sends a message; a socket the service has closed tells so when it is read.
    pub async fn send(&mut self, message: &Value) {
        let _ = self.socket.send(Message::text(message.to_string())).await;
    }

    pub async fn connected(&mut self) {
        self.send(&json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
            .await;
    }

    /// The `start` Twilio would send.
    pub fn start_message(&mut self) -> Value {
        self.sequence += 1;
        json!({"event": "start", "sequenceNumber": self.sequence.to_string(), "streamSid": self.stream, "start": {
            "accountSid": ACCOUNT, "streamSid": self.stream, "callSid": self.call, "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"agent": "spa"}}})
    }

    pub async fn start(&mut self) {
        let start = self.start_message();
        self.send(&start).await;
    }

    /// 20 ms of silence on a stream.
    pub async fn media_on(&mut self, stream: &str) {
        self.sound_on(stream, 0xFF).await;
    }

    /// 20 ms of one µ-law byte on a stream.
    pub async fn sound_on(&mut self, stream: &str, byte: u8) {
        self.sequence += 1;
        self.chunk += 1;
        let media = json!({"event": "media", "sequenceNumber": self.sequence.to_string(), "streamSid": stream,
            "media": {"track": "inbound", "chunk": self.chunk.to_string(),
                "timestamp": (self.chunk * 20).to_string(), "payload": STANDARD.encode([byte; 160])}});
        self.send(&media).await;
    }

    /// 20 ms of silence.
    pub async fn media(&mut self) {
        let stream = self.stream.clone();
        self.media_on(&stream).await;
    }

    pub async fn stop(&mut self) {
        self.sequence += 1;
        let stop = json!({"event": "stop", "sequenceNumber": self.sequence.to_string(), "streamSid": self.stream,
            "stop": {"accountSid": ACCOUNT, "callSid": self.call}});
        self.send(&stop).await;
    }

    /// `connected`, `start` and the first frame.
    pub async fn begin(&mut self) {
        self.connected().await;
        self.start().await;
        self.media().await;
    }

    /// The next message of the service as JSON; `None` at the end of the socket.
    pub async fn heard(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Reads to the end of the socket; silence is sent meanwhile, as a phone does that is still there.
    pub async fn closed(&mut self, within: Duration) -> Closed {
        let end = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => {
                        return Closed::Code(frame.map(|frame| u16::from(frame.code)));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Closed::Lost,
                }
            }
        };
        tokio::time::timeout(within, end)
            .await
            .expect("the service closes the media socket")
    }
}

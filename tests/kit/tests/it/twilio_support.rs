//! A small service for the emulator to phone: whatever a test wants answered, on one loopback port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use switchboard_kit::twilio::{Line, Pace, Route};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};
use url::Url;

/// The public URL of the fake service; the emulator is given a route from it.
pub(crate) const PUBLIC: &str = "https://spa.example";

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) params: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the fake answers.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn twiml(inside: &str) -> Self {
        Self {
            status: 200,
            content_type: "text/xml; charset=utf-8",
            body: format!(r#"<?xml version="1.0" encoding="UTF-8"?><Response>{inside}</Response>"#),
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            content_type: "text/plain",
            body: String::new(),
        }
    }

    /// Switches to the media socket.
    pub(crate) fn upgrade() -> Self {
        Self::status(101)
    }
}

pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Routes = dyn Fn(&Seen) -> Answer + Send + Sync;
type Media = dyn Fn(Socket) -> BoxFuture<'static, ()> + Send + Sync;

/// The running fake.
pub(crate) struct Fake {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    /// Answers requests with `routes`; what it answers with [`Answer::upgrade`] goes on in `media`.
    pub(crate) async fn start<R, M, F>(routes: R, media: M) -> Self
    where
        R: Fn(&Seen) -> Answer + Send + Sync + 'static,
        M: Fn(Socket) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let routes: Arc<Routes> = Arc::new(routes);
        let media: Arc<Media> = Arc::new(move |socket| media(socket).boxed());
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (routes, media, log) = (routes.clone(), media.clone(), log.clone());
                let service = service_fn(move |request| {
                    serve(request, routes.clone(), media.clone(), log.clone())
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection.with_upgrades());
            }
        });
        Self { addr, seen }
    }

    /// A fake without a media socket.
    pub(crate) async fn without_media(
        routes: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start(routes, |_| async {}).await
    }

    /// A fake whose webhook connects the call to `media` and whose other paths answer nothing more.
    pub(crate) async fn with_media<M, F>(media: M) -> Self
    where
        M: Fn(Socket) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let routes = |seen: &Seen| match seen.path.as_str() {
            "/incoming-call" => Answer::twiml(CONNECT),
            "/media/token1" => Answer::upgrade(),
            "/after" => Answer::twiml("<Hangup/>"),
            _ => Answer::status(204),
        };
        Self::start(routes, media).await
    }

    /// A line to it, verbs taking no time.
    pub(crate) fn line(&self) -> Line {
        let mut line = Line::new(Url::parse("https://spa.example/incoming-call").unwrap());
        line.route = Some(Route::new(Url::parse(PUBLIC).unwrap(), self.addr));
        line.pace = Pace::fast();
        line
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn seen_at(&self, path: &str) -> Vec<Seen> {
        let mut all = self.seen();
        all.retain(|seen| seen.path == path);
        all
    }
}

/// Connects to `/media/token1`, with an action and a status callback.
pub(crate) const CONNECT: &str = concat!(
    r#"<Connect action="/after"><Stream url="wss://spa.example/media/token1" "#,
    r#"statusCallback="https://spa.example/stream-status">"#,
    r#"<Parameter name="agent" value="spa"/></Stream></Connect>"#
);

async fn serve(
    mut request: Request<Incoming>,
    routes: Arc<Routes>,
    media: Arc<Media>,
    log: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.body_mut().collect().await.unwrap().to_bytes();
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let mut params: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
    params.extend(form_urlencoded::parse(&body).into_owned());
    let headers = request.headers().iter();
    let seen = Seen {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        params,
    };
    let answer = routes(&seen);
    let key = seen.header("sec-websocket-key").map(str::to_owned);
    log.lock().unwrap().push(seen);
    let response = Response::builder().status(answer.status);
    let (101, Some(key)) = (answer.status, key) else {
        let response = response.header("content-type", answer.content_type);
        return Ok(response.body(Full::from(answer.body)).unwrap());
    };
    tokio::spawn(async move {
        let upgraded = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        media(WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await).await;
    });
    let response = response
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", derive_accept_key(key.as_bytes()));
    Ok(response.body(Full::default()).unwrap())
}

/// The next JSON message; `None` when the socket is over.
pub(crate) async fn next_event(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

/// The next message of this kind, others skipped.
pub(crate) async fn next_of(socket: &mut Socket, event: &str) -> Option<Value> {
    loop {
        let message = next_event(socket).await?;
        if message["event"] == event {
            return Some(message);
        }
    }
}

/// Waits for `start` and gives the stream SID.
pub(crate) async fn stream_sid(socket: &mut Socket) -> String {
    let start = next_of(socket, "start").await.unwrap();
    start["streamSid"].as_str().unwrap().to_owned()
}

pub(crate) fn media(stream_sid: &str, audio: &[u8]) -> Message {
    let payload = STANDARD.encode(audio);
    Message::text(format!(
        r#"{{"event":"media","streamSid":"{stream_sid}","media":{{"payload":"{payload}"}}}}"#
    ))
}

pub(crate) fn mark(stream_sid: &str, name: &str) -> Message {
    Message::text(format!(
        r#"{{"event":"mark","streamSid":"{stream_sid}","mark":{{"name":"{name}"}}}}"#
    ))
}

pub(crate) fn clear(stream_sid: &str) -> Message {
    Message::text(format!(r#"{{"event":"clear","streamSid":"{stream_sid}"}}"#))
}

/// Sends all of it or gives up silently, as a service whose caller is gone.
pub(crate) async fn send_all(socket: &mut Socket, messages: impl IntoIterator<Item = Message>) {
    for message in messages {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Reads until the socket is over.
pub(crate) async fn drain(socket: &mut Socket) {
    while next_event(socket).await.is_some() {}
}

//! The media socket: how it is opened, and sending without ever waiting for the other side.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::{Host, Url};

use super::http::RequestError;
use super::line::Line;
use super::outcome::StreamEnd;
use super::route::Destination;
use super::signature::{sign, url_as_signed};

/// Room for a few media messages; the library's 128 KiB a socket would be felt with hundreds of calls.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// How long a finished stream waits for the other side to finish too.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);

/// An open media socket.
#[derive(Debug)]
pub(crate) struct MediaSocket(WebSocketStream<TcpStream>);

/// The URL of a `<Stream>` as Twilio signs and requests it: without query and fragment.
pub(crate) fn stream_url(written: &str) -> String {
    let url = url_as_signed(written);
    url.split_once('?')
        .map_or(url.as_str(), |(before, _)| before)
        .to_owned()
}

impl MediaSocket {
    /// Dials `url` (already stripped by [`stream_url`]) as Twilio does: signed, no origin, no subprotocol, no extension.
    pub(crate) async fn open(line: &Line, url: &str) -> Result<Self, StreamEnd> {
        check_scheme(url)?;
        tokio::time::sleep(line.socket_delay).await;
        match tokio::time::timeout(line.upgrade_limit, dial(line, url)).await {
            Ok(dialled) => dialled,
            Err(_) => Err(refused(31_901, None, "no answer to the upgrade")),
        }
    }

    /// The next frame; `None` when the socket is at its end. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        self.0.next().await
    }

    /// Sends unless earlier bytes still wait for the other side to read: then false, and the text is gone.
    pub(crate) async fn send_if_ready(&mut self, text: String) -> Result<bool, tungstenite::Error> {
        // Outside tokio's budget of a task: a task of twenty calls that used it up says nothing of this socket.
        let ready = poll_fn(|context| Poll::Ready(self.0.poll_ready_unpin(context)));
        match unconstrained(ready).await {
            Poll::Pending => return Ok(false),
            Poll::Ready(result) => result?,
        }
        self.send(Message::Text(Utf8Bytes::from(text)))?;
        Ok(true)
    }

    /// Sends, or queues behind what the other side has not read yet.
    pub(crate) fn send(&mut self, message: Message) -> Result<(), tungstenite::Error> {
        self.0.start_send_unpin(message)
    }

    /// Closes with 1000 and waits a moment for the answer.
    pub(crate) async fn close(mut self) {
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: Utf8Bytes::default(),
        };
        if self.send(Message::Close(Some(frame))).is_ok() {
            self.drain().await;
        }
    }

    /// After the other side's close frame: lets the echo out and waits a moment for the end.
    pub(crate) async fn drain(mut self) {
        let to_the_end = async { while let Some(Ok(_)) = self.0.next().await {} };
        let _ = tokio::time::timeout(GOODBYE_LIMIT, to_the_end).await;
    }
}

/// Only `wss`; plain `ws` is let through to loopback, where there is no TLS to be had.
fn check_scheme(url: &str) -> Result<(), StreamEnd> {
    let Ok(parsed) = Url::parse(url) else {
        return Err(refused(31_923, None, format!("{url} is not a url")));
    };
    let loopback = match parsed.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match parsed.scheme() {
        "wss" => Ok(()),
        "ws" if loopback => Ok(()),
        _ => Err(refused(31_922, None, format!("{url} is not wss"))),
    }
}

async fn dial(line: &Line, url: &str) -> Result<MediaSocket, StreamEnd> {
    let destination = Destination::find(line.route.as_ref(), url).map_err(from_request_error)?;
    let stream = destination.connect().await.map_err(from_request_error)?;
    let request = Request::builder()
        // Only path and query go over the wire; the public host is in the header.
        .uri(format!("ws://{}{}", destination.host, destination.target))
        .header("Host", &destination.host)
        .header("User-Agent", "Twilio.TmeWs/1.0")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .header(
            "x-twilio-signature",
            sign::<&str, &str>(&line.account.auth_token, url, &[]),
        )
        .body(())
        .map_err(|error| refused(31_923, None, error.to_string()))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0);
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(MediaSocket(socket)),
        Err(tungstenite::Error::Http(response)) => {
            let status = response.status().as_u16();
            Err(refused(
                31_920,
                Some(status),
                format!("upgrade answered {status}"),
            ))
        }
        Err(error) => Err(refused(31_920, None, error.to_string())),
    }
}

fn refused(code: u32, status: Option<u16>, text: impl Into<String>) -> StreamEnd {
    StreamEnd::HandshakeFailed {
        code,
        status,
        text: text.into(),
    }
}

fn from_request_error(error: RequestError) -> StreamEnd {
    let code = match &error {
        RequestError::BadUrl(_) => 31_923,
        RequestError::NoTls(_) => 31_910,
        RequestError::TimedOut(_) => 31_901,
        RequestError::Broken(_) => 31_920,
        RequestError::Connect(cause) => match cause.kind() {
            io::ErrorKind::ConnectionRefused => 31_902,
            io::ErrorKind::TimedOut => 31_901,
            _ => 31_904,
        },
    };
    refused(code, None, error.to_string())
}

/// How a stream ends when reading fails.
pub(crate) fn end_of(error: &tungstenite::Error) -> StreamEnd {
    use tungstenite::error::ProtocolError;
    let text = error.to_string();
    match error {
        tungstenite::Error::Io(_)
        | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            StreamEnd::ServerDropped { text }
        }
        _ => StreamEnd::ProtocolError { text },
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    #[tokio::test]
    async fn a_task_that_used_up_its_budget_does_not_blame_the_service() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, service) = tokio::join!(TcpStream::connect(address), listener.accept());
        let _service = service.unwrap();
        let socket = WebSocketStream::from_raw_socket(stream.unwrap(), Role::Client, None).await;
        let mut socket = MediaSocket(socket);
        let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..1_000 {
            sender.send(number).unwrap();
        }
        while received.recv().now_or_never().is_some() {}
        assert!(!received.is_empty(), "the budget was used up");
        // Two: the first is written at once, the second asks whether it was.
        for _ in 0..2 {
            assert!(socket.send_if_ready("{}".to_owned()).await.unwrap());
        }
    }
}

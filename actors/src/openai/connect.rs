//! Dialling a realtime server. The only folder that knows `awc`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::ws::Codec;
use actix_service::ServiceExt as _;
use actix_tls::connect::Connection;
use actix_web::http::Uri;
use awc::{BoxedSocket, Client};
use call_protocol::model::event::Refusal;
use call_protocol::model::openai::MAX_MESSAGE;
use tokio::net::TcpStream;

use super::refusal::{HearRefusals, refusal};
use crate::websocket::FrameLimit;

/// Longest wait for TCP, for TLS, and for the answer to the upgrade.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Where realtime sessions are opened; shared by all threads.
#[derive(Clone)]
pub struct Endpoint {
    /// The whole `Authorization` header.
    pub authorization: Arc<dyn Fn() -> String + Send + Sync>,
    /// TLS as this process wants it: our roots, HTTP/1.1 only.
    pub tls: Arc<rustls::ClientConfig>,
}

/// Opens sockets from one thread; `awc` clients do not leave the thread they were made on.
#[derive(Clone)]
pub struct Dialler {
    client: Rc<Client>,
    endpoint: Rc<Endpoint>,
}

/// An open socket to a realtime server.
pub(crate) type Socket = Framed<FrameLimit<BoxedSocket>, Codec>;

impl Dialler {
    /// A dialler for the current thread.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        // Small writes must not wait for an acknowledgement: without this a frame is up to 40 ms late.
        let tcp = actix_tls::connect::Connector::default().service().map(
            |connection: Connection<Uri, TcpStream>| {
                if let Err(error) = connection.io_ref().set_nodelay(true) {
                    log::debug!(target: "switchboard::openai", error:% = error; "no tcp_nodelay");
                }
                connection
            },
        );
        let connector = awc::Connector::new()
            .connector(tcp)
            .rustls_0_23(endpoint.tls.clone())
            .max_http_version(actix_web::http::Version::HTTP_11)
            .timeout(HANDSHAKE)
            .handshake_timeout(HANDSHAKE)
            // An open WebSocket counts as a connection: admission is ours, not the client's.
            .limit(0);
        let client = Client::builder()
            .connector(connector)
            .timeout(HANDSHAKE)
            .wrap(HearRefusals)
            .finish();
        Self {
            client: Rc::new(client),
            endpoint: Rc::new(endpoint),
        }
    }

    pub(crate) async fn dial(&self, url: &str) -> Result<Socket, Refusal> {
        let request = self
            .client
            .ws(url)
            .set_header("Authorization", (self.endpoint.authorization)())
            .set_header(
                "User-Agent",
                concat!("switchboard/", env!("CARGO_PKG_VERSION")),
            )
            .max_frame_size(MAX_MESSAGE);
        match request.connect().await {
            Ok((_, socket)) => Ok(limited(socket)),
            Err(error) => Err(refusal(&error)),
        }
    }
}

/// Puts the limit before the codec; what came behind the server's answer passes it first.
fn limited(socket: Framed<BoxedSocket, Codec>) -> Socket {
    let parts = socket.into_parts();
    let came = parts.read_buf.clone();
    Framed::from_parts(parts).into_map_io(|io| FrameLimit::after(&came, io, MAX_MESSAGE))
}

//! The running service: two listeners, one registry.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor as _, Addr};
use actix_web::dev::{Extensions, ServerHandle};
use actix_web::{App, HttpServer, web};
use call_protocol::call::event::OperatorEvent;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret as _;
use socket2::{SockRef, TcpKeepalive};
use switchboard_actors::call::Tap;
use switchboard_actors::messages::{Count, OrderAll};
use switchboard_actors::metrics::Metrics;
use switchboard_actors::openai::{Dialler, Endpoint};
use switchboard_actors::registry::Registry;

use crate::answering::AnsweringError;
use crate::house::House;
use crate::phone::media_stream::DiallerOfThread;
use crate::phone::ticket::Mint;
use crate::settings::{Settings, Trust};

/// A request head must be complete by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Unacknowledged data kills a socket after this long: the actor of a stalled socket is not polled and cannot.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a closed socket is still read. Closing at once would answer the audio on its way here with a reset, which
/// can overtake the close frame; but what follows `<Connect>` may wait for the end of the connection, and the caller
/// hears nothing meanwhile.
const LINGER: Duration = Duration::from_millis(150);

/// Handed-over calls close their sockets by then.
const CLOSING: Duration = Duration::from_secs(2);

/// A service that is up.
pub struct Service {
    /// Where Twilio reaches it.
    pub public: SocketAddr,
    /// Where the operator reaches it.
    pub admin: SocketAddr,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Its calls.
    pub registry: Addr<Registry>,
    house: web::Data<House>,
    servers: Vec<ServerHandle>,
    drain: Duration,
}

/// Gives a service new settings, from any thread.
#[derive(Clone)]
pub struct Renewal(web::Data<House>);

impl Renewal {
    /// New calls live under these settings from now on, live ones keep theirs. Gives the keys that differ and only a
    /// restart changes. It reads files and may open the appointment book: call it off the threads that carry audio.
    ///
    /// # Errors
    /// Settings that cannot be used change nothing.
    pub fn renew(&self, settings: Settings) -> Result<Vec<&'static str>, AnsweringError> {
        let needs_restart = self.0.settings.needs_restart(&settings);
        self.0.renew(settings)?;
        Ok(needs_restart)
    }
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be opened.
    #[error("cannot listen on {address} ({key}): {error}")]
    Listen {
        /// The key that names it.
        key: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The servers could not be started.
    #[error("cannot start: {0}")]
    Server(#[from] io::Error),
    /// The metrics could not be set up.
    #[error("cannot set up metrics: {0}")]
    Metrics(String),
    /// An agent cannot answer.
    #[error(transparent)]
    Answering(#[from] AnsweringError),
    /// No randomness, or no TLS.
    #[error("cannot set up cryptography: {0}")]
    Crypto(String),
}

impl Service {
    /// Starts the service in the current actix system.
    ///
    /// # Errors
    /// [`StartError`]; no port is left bound.
    pub fn start(
        settings: Settings,
        metrics: Arc<Metrics>,
        tap: Option<Tap>,
    ) -> Result<Self, StartError> {
        let public = listen("server.listen", settings.server.listen)?;
        let admin = listen("admin.listen", settings.admin_listen)?;
        let public_address = public.local_addr()?;
        let admin_address = admin.local_addr()?;
        let mint = match &settings.server.trust {
            Trust::Dev { .. } => {
                Mint::random().map_err(|error| StartError::Crypto(error.to_string()))?
            }
            Trust::Verified { auth_token, .. } => Mint::from_auth_token(auth_token),
        };
        let base = settings.public_url().map_or_else(
            || format!("http://{public_address}"),
            |url| url.as_str().to_owned(),
        );
        for agent in settings.agents().values() {
            for tool in crate::profile::unavailable(agent) {
                log::warn!(target: "switchboard", agent = agent.name.as_str(), tool; "tool is not built yet and is not offered to the model");
            }
        }
        let endpoint = endpoint(&settings)?;
        let registry = Registry::new(settings.limits.max_calls).start();
        let (workers, drain) = (settings.server.workers, settings.limits.drain);
        let house = House::new(settings, registry.clone(), metrics.clone(), mint, base, tap)?;
        let house = web::Data::new(house);
        let servers = vec![
            serve_public(public, workers, house.clone(), endpoint)?,
            serve_admin(admin, house.clone())?,
        ];
        Ok(Self {
            public: public_address,
            admin: admin_address,
            metrics,
            registry,
            house,
            servers,
            drain,
        })
    }

    /// What gives the service new settings.
    #[must_use]
    pub fn renewal(&self) -> Renewal {
        Renewal(self.house.clone())
    }

    /// Takes no more calls; live ones go on.
    pub fn drain(&self) {
        self.house.drain();
    }

    /// Whether it takes no more calls.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.house.is_draining()
    }

    /// Waits for the live calls to end; at the drain deadline those that remain are closed so that Twilio's next verb
    /// takes them elsewhere. Call [`drain`](Self::drain) first.
    pub async fn drained(&self) {
        let deadline = Instant::now() + self.drain;
        while self.places_taken().await > 0 && Instant::now() < deadline {
            actix::clock::sleep(Duration::from_millis(50)).await;
        }
        self.hand_over().await;
    }

    /// Closes every live call with 1001.
    pub async fn hand_over(&self) {
        let told = self
            .registry
            .send(OrderAll(OperatorEvent::HandOver))
            .await
            .unwrap_or(0);
        if told > 0 {
            log::warn!(target: "switchboard", calls = told; "handing over calls that are still live");
        }
        let deadline = Instant::now() + CLOSING;
        while self.live_calls().await > 0 && Instant::now() < deadline {
            actix::clock::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops listening. Live sockets should be closed by now.
    pub async fn stop(&self) {
        for server in &self.servers {
            server.stop(false).await;
        }
    }

    async fn live_calls(&self) -> usize {
        self.count().await.map_or(0, |count| count.live)
    }

    async fn places_taken(&self) -> usize {
        self.count().await.map_or(0, |count| count.taken)
    }

    async fn count(&self) -> Option<switchboard_actors::messages::Occupancy> {
        self.house.ask(Count).await
    }
}

fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || -> io::Result<TcpListener> {
        let domain = socket2::Domain::for_address(address);
        let socket =
            socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1_024)?;
        Ok(socket.into())
    };
    open().map_err(|error| StartError::Listen {
        key,
        address,
        error,
    })
}

fn serve_public(
    listener: TcpListener,
    workers: usize,
    house: web::Data<House>,
    endpoint: Endpoint,
) -> io::Result<ServerHandle> {
    let server = HttpServer::new(move || {
        // One for each worker thread: it lives as long as the thread.
        let dialler = DiallerOfThread(Dialler::new(endpoint.clone()));
        App::new()
            .app_data(house.clone())
            .app_data(web::Data::new(dialler))
            .configure(crate::phone::routes)
    })
    .workers(workers)
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(LINGER)
    .tcp_nodelay(true)
    .on_connect(set_socket_options)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?
    .run();
    let handle = server.handle();
    actix::spawn(server);
    Ok(handle)
}

fn serve_admin(listener: TcpListener, house: web::Data<House>) -> io::Result<ServerHandle> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(house.clone())
            .configure(crate::desk::routes)
    })
    .workers(1)
    .client_request_timeout(HEAD_TIMEOUT)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?
    .run();
    let handle = server.handle();
    actix::spawn(server);
    Ok(handle)
}

/// A stalled socket's actor is not polled, so the kernel has to end it.
fn set_socket_options(connection: &dyn std::any::Any, _: &mut Extensions) {
    let Some(socket) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() else {
        return;
    };
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(20))
        .with_interval(Duration::from_secs(5));
    let set = socket
        .set_tcp_user_timeout(Some(USER_TIMEOUT))
        .and_then(|()| socket.set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        log::debug!(target: "switchboard", error:% = error; "socket options not set");
    }
}

fn endpoint(settings: &Settings) -> Result<Endpoint, StartError> {
    let crypto = |error: rustls::Error| StartError::Crypto(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(crypto)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // The default would offer h2, over which this client cannot open a WebSocket.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let key = settings.openai.api_key.clone();
    let authorization = Arc::new(move || format!("Bearer {}", key.expose_secret()));
    Ok(Endpoint {
        authorization,
        tls: Arc::new(tls),
    })
}

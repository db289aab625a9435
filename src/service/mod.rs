//! The running service: two listeners, one registry.

pub(crate) mod drain;
mod reload;
pub(crate) mod state;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor as _, Addr};
use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, Error, web};
use futures_util::FutureExt as _;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret as _;
use switchboard_actors::admission::AdmissionControl;
use switchboard_actors::budget::sync_budget;
use switchboard_actors::call::{Tap, unix_now};
use switchboard_actors::events::EventBus;
use switchboard_actors::live_calls::LiveCalls;
use switchboard_actors::metrics::Metrics;
use switchboard_actors::openai::{Dialler, Endpoint};
use switchboard_actors::registry::Registry;
use switchboard_actors::store::CallStore;
use switchboard_actors::store::memory::MemoryStore;
use switchboard_actors::store::sqlite::{Counters, SqliteStore};
use switchboard_actors::twilio::rest::Rest;

use crate::agents::catalog::{OwnTools, ToolContext, check_names};
use crate::agents::routing::AnsweringError;
use crate::listener::room::Room;
use crate::listener::{self, Bounds, pace};
use crate::phone::media_stream::DiallerOfThread;
use crate::settings::{Settings, Store};
use crate::trust::Keyring;
use state::{AppState, StateParts};

pub use reload::ConfigReloader;

/// What the kernel holds of a peer that sends faster than it is read; it keeps twice as much in all. Two seconds of a
/// call's frames; of a flood no more than this is on its way to the codec when the first bad frame is refused.
const READ_AHEAD: usize = 32 * 1024;

/// What the kernel holds for a peer that does not read; it keeps twice as much in all. More than fifteen seconds of a
/// call's frames, after which a peer that reads nothing is given up.
const UNREAD: usize = 128 * 1024;

/// Between two looks for what has outlived its time in the store.
const PURGE_EVERY: Duration = Duration::from_secs(60);

/// Between two looks at the appointment book's file.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A store that does not answer by then keeps its files as they are.
const TIDYING: Duration = Duration::from_millis(300);

/// The file of the call store, in the data directory.
const STORE_FILE: &str = "calls.sqlite";

/// A service that is up.
pub struct Service {
    /// Where Twilio reaches it.
    pub public: SocketAddr,
    /// Where the operator reaches it.
    pub admin: SocketAddr,
    pub metrics: Arc<Metrics>,
    /// Its calls.
    pub registry: Addr<Registry>,
    app: web::Data<AppState>,
    servers: Vec<ServerHandle>,
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be opened.
    #[error(
        "{key} cannot be {address} ({error}); name an address of this machine with a port that is free"
    )]
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

impl StartError {
    /// Whether other settings, or another file that they name, would mend it.
    #[must_use]
    pub const fn is_of_the_settings(&self) -> bool {
        match self {
            Self::Listen { .. } | Self::Answering(_) => true,
            Self::Server(_) | Self::Metrics(_) | Self::Crypto(_) => false,
        }
    }
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
        Self::start_with(settings, metrics, tap, OwnTools::default())
    }

    /// The same with tools of the process's own.
    ///
    /// # Errors
    /// [`StartError`]; no port is left bound.
    pub fn start_with(
        settings: Settings,
        metrics: Arc<Metrics>,
        tap: Option<Tap>,
        own: OwnTools,
    ) -> Result<Self, StartError> {
        check_names(&settings, &own).map_err(AnsweringError::from)?;
        let public = listen("server.listen", settings.server.listen)?;
        let admin = listen("admin.listen", settings.admin_listen)?;
        let room = Room::of_process(&admin);
        let public_address = public.local_addr()?;
        let admin_address = admin.local_addr()?;
        let keyring =
            Keyring::new(&settings).map_err(|error| StartError::Crypto(error.to_string()))?;
        let keyring = Arc::new(keyring);
        let base = settings.public_url().map_or_else(
            || format!("http://{public_address}"),
            |url| url.as_str().to_owned(),
        );
        let endpoint = endpoint(keyring.clone())?;
        let admission = Arc::new(AdmissionControl::with_limits_of_the_day(
            settings.limits.max_day_cost_usd,
            settings.callers.minutes_per_day,
        ));
        let registry = Registry::new(settings.limits.max_calls, admission.clone()).start();
        let workers = settings.server.workers;
        let store = open_store(&settings, &metrics)?;
        keep_clean(store.clone());
        actix::spawn(sync_budget(admission.clone(), store.clone(), unix_now));
        let own = OwnTools {
            journal: own.journal.or_else(|| Some(store.clone())),
            ..own
        };
        let workshop = ToolContext {
            own,
            tls: endpoint.tls.clone(),
            metrics: metrics.clone(),
        };
        let ground = StateParts {
            registry: registry.clone(),
            store,
            metrics: metrics.clone(),
            admission,
            keyring,
            rest: rest(&settings, &endpoint),
            tap,
        };
        let app = AppState::new(settings, base, ground, workshop)?;
        let app = web::Data::new(app);
        watch_book(app.clone());
        tell_rest(app.clone());
        let servers = vec![
            serve_public(public, workers, room, app.clone(), endpoint)?,
            serve_admin(admin, room, app.clone())?,
        ];
        Ok(Self {
            public: public_address,
            admin: admin_address,
            metrics,
            registry,
            app,
            servers,
        })
    }

    /// What happens in its calls, for whoever subscribes.
    #[must_use]
    pub fn events(&self) -> &EventBus {
        &self.app.events
    }

    /// Its live calls, which can be listened to.
    #[must_use]
    pub fn live_calls(&self) -> &LiveCalls {
        &self.app.live_calls
    }

    /// What gives the service new settings.
    #[must_use]
    pub fn renewal(&self) -> ConfigReloader {
        ConfigReloader(self.app.clone())
    }

    /// Takes no more calls; live ones go on.
    pub fn drain(&self) {
        self.app.drain();
    }

    /// Whether it takes no more calls.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.app.is_draining()
    }

    /// Waits for the live calls to end; at the drain deadline those that remain are written down and closed so that
    /// Twilio's next request takes them elsewhere. Call [`drain`](Self::drain) first.
    pub async fn drained(&self) {
        crate::service::drain::drained(&self.app).await;
    }

    /// Writes every live call down and closes it with 1001.
    pub async fn hand_over(&self) {
        crate::service::drain::hand_over(&self.app).await;
    }

    /// Stops listening, and has the store's files hold nothing of calls that are over. Live sockets should be closed by
    /// now.
    pub async fn stop(&self) {
        // Calls that are over have waited for the store as long as there was time.
        self.app.live_calls.tell_the_rest();
        for server in &self.servers {
            server.stop(false).await;
        }
        // What fails, the store complains of itself.
        let _ = actix::clock::timeout(TIDYING, self.app.store.tidy()).await;
    }
}

/// The way to Twilio's REST API, if there are credentials.
fn rest(settings: &Settings, endpoint: &Endpoint) -> Option<Arc<Rest>> {
    let credentials = settings.twilio.rest.as_ref()?;
    let rest = Rest::new(
        &settings.twilio.api_url,
        &credentials.account_sid,
        credentials.basic(),
        endpoint.tls.clone(),
    );
    Some(Arc::new(rest))
}

/// The store the settings name. A file that cannot be opened is no reason not to answer the phone: the store complains,
/// and tries again.
fn open_store(settings: &Settings, metrics: &Metrics) -> Result<Arc<dyn CallStore>, StartError> {
    match settings.data.store {
        Store::Memory => Ok(Arc::new(MemoryStore::default())),
        Store::Sqlite => {
            let counters = Counters {
                overflow: metrics.store_overflow.clone(),
                faults: metrics.faults_of("calls"),
            };
            let path = settings.data.dir.join(STORE_FILE);
            Ok(Arc::new(SqliteStore::open_counting(&path, counters)?))
        }
    }
}

/// Drops what has outlived its time, as long as the service lives.
fn keep_clean(store: Arc<dyn CallStore>) {
    actix::spawn(async move {
        let mut tick = actix::clock::interval(PURGE_EVERY);
        loop {
            tick.tick().await;
            // What fails, the store complains of itself.
            if let Ok(dropped @ 1..) = store.purge(unix_now()).await {
                log::debug!(target: "switchboard::store", dropped; "old checkpoints and journal lines dropped");
            }
        }
    });
}

/// Looks at the appointment book's file when nobody asks it anything, as long as the service lives.
fn watch_book(app: web::Data<AppState>) {
    actix::spawn(async move {
        let mut tick = actix::clock::interval(LOOK_EVERY);
        loop {
            tick.tick().await;
            if let Some(book) = app.book() {
                // Off the thread of the registry. What is wrong, the book complains of itself.
                let _ = web::block(move || book.look()).await;
            }
        }
    });
}

/// Tells every second what was left out of the log.
fn tell_rest(app: web::Data<AppState>) {
    actix::spawn(async move {
        let mut tick = actix::clock::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            app.refusals.rest(Instant::now());
        }
    });
}

pub(crate) fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || -> io::Result<TcpListener> {
        let domain = socket2::Domain::for_address(address);
        let socket =
            socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        // Sockets that are accepted have it from their listener.
        socket.set_recv_buffer_size(READ_AHEAD)?;
        socket.set_send_buffer_size(UNREAD)?;
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

/// A panic in a handler costs its request, which is answered 500, and nothing else. The panic hook has counted it.
async fn survive<B>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error>
where
    B: MessageBody,
{
    // What a handler shares with others, it shares through locks and channels that survive.
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => Err(ErrorInternalServerError("")),
    }
}

fn serve_public(
    listener: TcpListener,
    workers: usize,
    room: Room,
    app: web::Data<AppState>,
    endpoint: Endpoint,
) -> io::Result<ServerHandle> {
    let bounds = Bounds {
        connections: room.public(),
        waiting: room.public_waiting(),
        room: Some(room),
        ended: Arc::new({
            let app = app.clone();
            move |reason| {
                app.metrics.webhook_rejected(reason);
                app.refusals.connection("public", reason);
            }
        }),
    };
    listener::serve(listener, workers, bounds, move || {
        // One for each worker thread: it lives as long as the thread.
        let dialler = DiallerOfThread(Dialler::new(endpoint.clone()));
        App::new()
            .app_data(app.clone())
            .app_data(web::Data::new(dialler))
            .wrap(from_fn(crate::phone::gate))
            .wrap(from_fn(survive))
            .wrap(from_fn(pace::keep))
            .configure(crate::phone::routes)
    })
}

fn serve_admin(
    listener: TcpListener,
    room: Room,
    app: web::Data<AppState>,
) -> io::Result<ServerHandle> {
    let bounds = Bounds {
        connections: room.admin(),
        waiting: room.admin_waiting(),
        room: None,
        ended: Arc::new({
            let app = app.clone();
            move |reason| {
                app.metrics.admin_refused(reason);
                app.refusals.connection("admin", reason);
            }
        }),
    };
    listener::serve(listener, 1, bounds, move || {
        App::new()
            .app_data(app.clone())
            .wrap(from_fn(survive))
            .wrap(from_fn(pace::keep))
            .configure(crate::admin::routes)
    })
}

fn endpoint(keyring: Arc<Keyring>) -> Result<Endpoint, StartError> {
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
    // Read for every dial: a reload renews it.
    let authorization = Arc::new(move || format!("Bearer {}", keyring.now().model.expose_secret()));
    Ok(Endpoint {
        authorization,
        tls: Arc::new(tls),
    })
}

//! What both listeners have in common, before anything is known of calls: how long a request may take, how many may wait,
//! and what a browser had sent for a page from elsewhere.
//!
//! | file | question it answers |
//! | --- | --- |
//! | `watch`, `stream`, `pace` | how far a connection is with its requests, and how long it may stay there |
//! | `crowd`, `room` | how many connections may wait for their request, and how many there may be |
//! | `origin` | whether a page from elsewhere had a request sent |
//! | `refusals` | how often the log tells of what was refused |

use std::fmt::Debug;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use actix::clock::Instant;
use actix_http::{HttpService, KeepAlive, Request, Response};
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServerHandle};
use actix_web::rt::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

use crowd::{Crowd, Ended};
use stream::Guarded;
use watch::Watch;

pub(crate) mod address;
mod crowd;
pub(crate) mod origin;
pub(crate) mod pace;
pub(crate) mod refusals;
pub(crate) mod room;
mod stream;
pub(crate) mod watch;

/// Unacknowledged data kills a socket after this long: the actor of a stalled socket is not polled and cannot.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// What a listener has room for.
pub(crate) struct Bounds {
    /// Connections at once; while there are that many, no more are accepted.
    pub(crate) connections: usize,
    /// Those of them that wait for a whole request; the one that has waited longest makes room for the next.
    pub(crate) waiting: usize,
    /// The descriptors it leaves alone, if it does.
    pub(crate) room: Option<room::Room>,
    /// Is told of connections that are ended before their time.
    pub(crate) ended: Ended,
}

/// Serves an application on a listener, every request of every connection within its time. What the application is
/// wrapped in must be wrapped in [`pace::keep`].
///
/// # Errors
/// When the listener cannot be used.
pub(crate) fn serve<F, I, S, B>(
    listener: TcpListener,
    workers: usize,
    bounds: Bounds,
    application: F,
) -> io::Result<ServerHandle>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error>,
    S::InitError: Debug,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let address = listener.local_addr()?;
    let Bounds {
        connections,
        waiting,
        room,
        ended,
    } = bounds;
    let crowd = Crowd::new(waiting, ended);
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections((connections / workers.max(1)).max(1))
        .disable_signals()
        .shutdown_timeout(1)
        .listen(address.to_string(), listener, move || {
            let application = application()
                .into_factory()
                .map_err(|error| error.into().error_response());
            // The limits of the dispatcher would hold for the first request only; see `watch`.
            let http = HttpService::build()
                .keep_alive(KeepAlive::Os)
                .client_request_timeout(Duration::ZERO)
                .client_disconnect_timeout(watch::LINGER)
                .local_addr(address)
                .on_connect_ext(|stream: &Guarded, data| {
                    data.insert(stream.watch());
                })
                .h1(map_config(application, |()| AppConfig::default()));
            let crowd = crowd.clone();
            let guarded = fn_service(move |stream: TcpStream| {
                set_socket_options(&stream);
                let peer = stream.peer_addr().ok();
                let has_room = room.is_none_or(|room| room.has(stream.as_raw_fd()));
                let ip = peer.map(|peer| peer.ip());
                let watch = Watch::new(crowd.clone(), ip, has_room, Instant::now());
                std::future::ready(Ok((Guarded::new(stream, watch), peer)))
            });
            guarded.and_then(http)
        })?
        .run();
    let handle = server.handle();
    actix::spawn(server);
    Ok(handle)
}

/// A stalled socket's actor is not polled, so the kernel has to end it.
fn set_socket_options(socket: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(20))
        .with_interval(Duration::from_secs(5));
    let set = socket.set_nodelay(true).and_then(|()| {
        let socket = SockRef::from(socket);
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        socket.set_tcp_keepalive(&keepalive)
    });
    if let Err(error) = set {
        log::debug!(target: "switchboard", error:% = error; "socket options not set");
    }
}

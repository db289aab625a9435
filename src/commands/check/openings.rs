//! What a start opens besides the files of the settings: tried, and left as it was.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::agents::routing::{AnsweringError, wants_book};
use crate::service::{StartError, listen};
use crate::settings::Settings;
use appointment_book::Book;

/// A listener of this machine answers at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the service would not start with these settings, each cause in the start's own words. An address that a running
/// switchboard has is its own.
#[must_use]
pub fn problems(settings: &Settings) -> Vec<StartError> {
    let mut problems: Vec<StartError> = Vec::new();
    if wants_book(settings) {
        let book = Book::try_out(settings.data.dir.join(appointment_book::FILE));
        problems.extend(book.err().map(|error| AnsweringError::from(error).into()));
    }
    let listeners = [
        listen("server.listen", settings.server.listen),
        listen("admin.listen", settings.admin_listen),
    ];
    let is_taken = |error: &StartError| matches!(error, StartError::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse);
    let refused: Vec<StartError> = listeners.into_iter().filter_map(Result::err).collect();
    let runs = refused.iter().any(is_taken) && serves(settings.server.listen);
    problems.extend(
        refused
            .into_iter()
            .filter(|error| !(runs && is_taken(error))),
    );
    problems
}

/// Whether a switchboard answers there.
fn serves(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let ask = || -> io::Result<String> {
        let mut socket =
            TcpStream::connect_timeout(&SocketAddr::new(ip, address.port()), PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let host = SocketAddr::new(ip, address.port());
        let ask = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        socket.write_all(ask.as_bytes())?;
        let mut answer = Vec::new();
        socket.take(4_096).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().is_ok_and(|answer| answer.contains(r#"{"status":"ok"}"#))
}

//! `/healthcheck` of the image: asks the service in the same container for `/healthz`. Exit 0 when it answers 200
//! within three seconds, else 1 and one line on standard error, which `docker inspect` shows.
//!
//! Knows the environment only, by the rule of the service: `SWITCHBOARD_LISTEN` is the whole address; without it `PORT`
//! changes the port of the default. The image sets `PORT`, which beats the file, and a platform may set another one.
#![forbid(unsafe_code)]

use std::env;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// As in the table of settings, which a test compares.
const LISTEN: &str = "0.0.0.0:5050";

/// Below the image's `--timeout`, so that the cause is told before the engine gives up.
const TIMEOUT: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let listen = env::var("SWITCHBOARD_LISTEN").unwrap_or_default();
    let port = env::var("PORT").unwrap_or_default();
    let asked = address(&listen, &port).and_then(|address| ask(address, TIMEOUT));
    match asked {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "healthcheck: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Where to ask: the listener's address, by loopback when it listens on every interface. Empty counts as unset.
fn address(listen: &str, port: &str) -> Result<SocketAddr, String> {
    let (listen, is_whole) = match listen.trim() {
        "" => (LISTEN, false),
        text => (text, true),
    };
    let mut address: SocketAddr = listen
        .parse()
        .map_err(|_| format!("SWITCHBOARD_LISTEN is {listen:?}, not an address with a port"))?;
    let port = port.trim();
    if !port.is_empty() && !is_whole {
        address.set_port(
            port.parse()
                .map_err(|_| format!("PORT is {port:?}, not a port"))?,
        );
    }
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    Ok(address)
}

/// Asks for `/healthz`; anything but 200 within the time is trouble.
fn ask(address: SocketAddr, timeout: Duration) -> Result<(), String> {
    let problem = |error: io::Error| format!("{address}: {error}");
    let deadline = Instant::now() + timeout;
    let mut socket = TcpStream::connect_timeout(&address, timeout).map_err(problem)?;
    socket.set_write_timeout(Some(timeout)).map_err(problem)?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).map_err(problem)?;

    // "HTTP/1.1 200" and nothing more is of interest.
    let mut status = [0; 12];
    let mut filled = 0;
    while filled < status.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("{address}: no answer within {timeout:?}"));
        }
        socket.set_read_timeout(Some(left)).map_err(problem)?;
        match socket.read(&mut status[filled..]) {
            Ok(0) => return Err(format!("{address}: closed without an answer")),
            Ok(count) => filled += count,
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(problem(error)),
        }
    }
    if status == *b"HTTP/1.1 200" {
        return Ok(());
    }
    let status = String::from_utf8_lossy(&status);
    Err(format!("{address}: answered {status:?}"))
}

/// The loop decides by its own clock.
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;
    use std::net::TcpListener;
    use std::path::Path;
    use std::thread;

    use switchboard::settings::{Settings, keys};

    /// A service that answers one request with these bytes, one write each, and then closes.
    fn answering(parts: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_nodelay(true).unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap();
            let is_asked = request.starts_with("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:");
            let parts = if is_asked { parts } else { &["HTTP/1.1 404"] };
            for part in parts {
                socket.write_all(part.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn the_address_is_the_listeners() {
        let at = |listen, port| address(listen, port).map(|address| address.to_string());
        assert_eq!(at("", "").as_deref(), Ok("127.0.0.1:5050"));
        assert_eq!(at("0.0.0.0:80", "").as_deref(), Ok("127.0.0.1:80"));
        assert_eq!(at("[::]:80", " ").as_deref(), Ok("[::1]:80"));
        assert_eq!(at("10.0.0.1:80", "81").as_deref(), Ok("10.0.0.1:80"));
        assert_eq!(at("", "8080").as_deref(), Ok("127.0.0.1:8080"));
        assert!(
            at("5050", "")
                .unwrap_err()
                .contains("SWITCHBOARD_LISTEN is \"5050\"")
        );
        assert!(at("", "http").unwrap_err().contains("PORT is \"http\""));
    }

    #[test]
    fn the_default_is_that_of_the_settings() {
        assert_eq!(keys::LISTEN.default, keys::Default::Text(LISTEN));
        assert_eq!(keys::LISTEN.env, ["SWITCHBOARD_LISTEN", "PORT"]);
    }

    #[test]
    fn the_rule_is_that_of_the_service() {
        for listen in ["", " ", "0.0.0.0:5050", "127.0.0.1:7000", "[::1]:7001"] {
            for port in ["", " ", "8080", "65535"] {
                let given = [
                    ("SWITCHBOARD_LISTEN", listen),
                    ("PORT", port),
                    ("SWITCHBOARD_PUBLIC_URL", "https://voice.example.com"),
                    ("SWITCHBOARD_ADMIN_TOKEN", "sixteen-or-more!"),
                    ("TWILIO_AUTH_TOKEN", "0123456789abcdef"),
                    ("OPENAI_API_KEY", "any"),
                ];
                let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let given = BTreeMap::from(given);
                let settings = Settings::from_toml("", Path::new("none"), &given).unwrap();
                let asked = address(listen, port).unwrap();
                assert_eq!(
                    settings.server.listen.port(),
                    asked.port(),
                    "{listen:?} {port:?}"
                );
                let ip = settings.server.listen.ip();
                assert!(
                    ip == asked.ip() || ip.is_unspecified() && asked.ip().is_loopback(),
                    "{listen:?} {port:?}: {asked}"
                );
            }
        }
    }

    #[test]
    fn a_service_that_works_is_healthy() {
        let whole = answering(&["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]);
        assert_eq!(ask(whole, TIMEOUT), Ok(()));
        let in_pieces = answering(&["HTTP", "/1.1 ", "200 OK\r\n\r\n"]);
        assert_eq!(ask(in_pieces, TIMEOUT), Ok(()));
    }

    #[test]
    fn any_other_answer_is_trouble() {
        let busy = answering(&["HTTP/1.1 503 Service Unavailable\r\n\r\n"]);
        assert!(ask(busy, TIMEOUT).unwrap_err().contains("HTTP/1.1 503"));
        let cut = answering(&["HTTP/1.1"]);
        assert!(ask(cut, TIMEOUT).unwrap_err().contains("closed without"));
    }

    #[test]
    fn nobody_at_the_address_is_trouble() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(ask(address, TIMEOUT).unwrap_err().contains("refused"));
    }

    #[test]
    fn silence_is_trouble_within_the_time() {
        // Accepted by the kernel, answered by nobody.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let started = Instant::now();
        let problem = ask(address, Duration::from_millis(200)).unwrap_err();
        assert!(problem.contains("no answer within 200ms"), "{problem}");
        assert!(started.elapsed() < TIMEOUT);
    }
}

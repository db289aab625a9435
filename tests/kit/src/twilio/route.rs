//! From the public URL a request is made for to the socket it really goes to.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::TcpStream;
use url::Url;

use super::http::RequestError;

/// Sends what is meant for a public base URL to a loopback address instead, in plain HTTP and plain WebSocket.
///
/// Signatures, `Host` headers and paths stay those of the public URL, as behind a proxy that ends TLS. Several addresses
/// are tried in order, and they may be changed while calls run: that is how a test replaces a killed instance.
#[derive(Debug, Clone)]
pub struct Route {
    public: Option<Url>,
    targets: Arc<RwLock<Vec<SocketAddr>>>,
}

impl Route {
    /// Routes the host and port of `public`, for `http(s)` and `ws(s)` alike, to `target`.
    #[must_use]
    pub fn new(public: Url, target: SocketAddr) -> Self {
        Self {
            public: Some(public),
            targets: Arc::new(RwLock::new(vec![target])),
        }
    }

    /// Routes every URL to `target`, whatever its host.
    #[must_use]
    pub fn everything(target: SocketAddr) -> Self {
        Self {
            public: None,
            targets: Arc::new(RwLock::new(vec![target])),
        }
    }

    /// Replaces the addresses for this route and all its clones; tried in this order.
    pub fn set_targets(&self, targets: Vec<SocketAddr>) {
        *self.targets.write().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    fn targets(&self) -> Vec<SocketAddr> {
        self.targets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn covers(&self, url: &Url) -> bool {
        let Some(public) = &self.public else {
            return true;
        };
        public.host_str() == url.host_str() && port(public) == port(url)
    }
}

fn port(url: &Url) -> Option<u16> {
    url.port_or_known_default()
}

/// Where one request goes and what it says about itself.
#[derive(Debug)]
pub(crate) struct Destination {
    addresses: Vec<SocketAddr>,
    name_and_port: (String, u16),
    /// The `Host` header: the public host, with its port unless that is the scheme's own.
    pub(crate) host: String,
    /// Path and query as sent.
    pub(crate) target: String,
}

impl Destination {
    pub(crate) fn find(route: Option<&Route>, url: &str) -> Result<Self, RequestError> {
        let bad = || RequestError::BadUrl(url.to_owned());
        let parsed = Url::parse(url).map_err(|_| bad())?;
        let name = parsed.host_str().ok_or_else(bad)?.to_owned();
        let host = match parsed.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.clone(),
        };
        let target = match parsed.query() {
            Some(query) => format!("{}?{query}", parsed.path()),
            None => parsed.path().to_owned(),
        };
        let route = route.filter(|route| route.covers(&parsed));
        if route.is_none() && !matches!(parsed.scheme(), "http" | "ws") {
            return Err(RequestError::NoTls(url.to_owned()));
        }
        Ok(Self {
            addresses: route.map(Route::targets).unwrap_or_default(),
            name_and_port: (
                name.trim_matches(['[', ']']).to_owned(),
                port(&parsed).ok_or_else(bad)?,
            ),
            host,
            target,
        })
    }

    /// Opens the TCP connection, small messages sent at once.
    pub(crate) async fn connect(&self) -> Result<TcpStream, RequestError> {
        let connected = if self.addresses.is_empty() {
            let (name, port) = &self.name_and_port;
            TcpStream::connect((name.as_str(), *port)).await
        } else {
            TcpStream::connect(self.addresses.as_slice()).await
        };
        let stream = connected.map_err(RequestError::Connect)?;
        stream.set_nodelay(true).map_err(RequestError::Connect)?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route::new(
            Url::parse("https://spa.example").unwrap(),
            SocketAddr::from(([127, 0, 0, 1], 4000)),
        )
    }

    #[test]
    fn a_routed_request_keeps_the_public_host_and_path() {
        for url in ["https://spa.example/a/b?c=d", "wss://spa.example/a/b?c=d"] {
            let destination = Destination::find(Some(&route()), url).unwrap();
            assert_eq!(destination.host, "spa.example");
            assert_eq!(destination.target, "/a/b?c=d");
            assert_eq!(destination.addresses[0].port(), 4000);
        }
    }

    #[test]
    fn tls_without_a_route_is_refused() {
        for url in ["https://other.example/", "wss://spa.example:8443/"] {
            let error = Destination::find(Some(&route()), url).unwrap_err();
            assert!(matches!(error, RequestError::NoTls(_)), "{url}");
        }
    }

    #[test]
    fn plain_urls_need_no_route() {
        let destination = Destination::find(None, "http://127.0.0.1:5050/x").unwrap();
        assert_eq!(destination.host, "127.0.0.1:5050");
        assert_eq!(destination.name_and_port, ("127.0.0.1".to_owned(), 5050));
    }
}

//! Small validated types that settings are made of.

use url::{Host, Url};

/// The service's address as Twilio sees it: scheme, host and port, nothing behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    is_loopback: bool,
}

/// Why an address cannot be the public one: the trouble and the way to mend it.
pub(super) type Trouble = (String, String);

impl PublicUrl {
    /// Reads the address. `http://` is for loopback in development.
    pub(super) fn parse(text: &str, dev: bool) -> Result<Self, Trouble> {
        let mend = "write it as https://voice.example.com".to_owned();
        let trouble = |words: &str| (words.to_owned(), mend.clone());
        let url =
            Url::parse(text).map_err(|error| (format!("is not a URL ({error})"), mend.clone()))?;
        if url.host().is_none() {
            return Err(trouble("has no host"));
        }
        let plain_allowed = dev && is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if plain_allowed => {}
            "http" => return Err(trouble("is http, but Twilio's audio needs TLS")),
            other => return Err(trouble(&format!("has the scheme {other}"))),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(trouble("carries a user name or password"));
        }
        if url.query().is_some() {
            return Err(trouble("carries a query"));
        }
        if url.fragment().is_some() {
            return Err(trouble("carries a fragment"));
        }
        if url.path() != "/" {
            return Err(trouble("carries a path"));
        }
        Ok(Self {
            origin: url.as_str().trim_end_matches('/').to_owned(),
            is_loopback: is_loopback(&url),
        })
    }

    /// `https://voice.example.com`, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// An absolute address for a path that begins with `/`.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// The same for a WebSocket: `wss://…` (`ws://…` in development over http).
    pub fn join_websocket(&self, path: &str) -> String {
        // "http…" becomes "ws…", so https becomes wss.
        let rest = self.origin.strip_prefix("http").unwrap_or(&self.origin);
        format!("ws{rest}{path}")
    }
}

/// Whether a URL's host is this machine without asking a resolver.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin() {
        let url = PublicUrl::parse("https://Voice.example.com/", false).unwrap();
        assert_eq!(url.as_str(), "https://voice.example.com");
        assert_eq!(
            url.join("/incoming-call"),
            "https://voice.example.com/incoming-call"
        );
        assert_eq!(
            url.join_websocket("/media-stream/t"),
            "wss://voice.example.com/media-stream/t"
        );
        let with_port = PublicUrl::parse("https://voice.example.com:8443", false).unwrap();
        assert_eq!(
            with_port.join_websocket("/m"),
            "wss://voice.example.com:8443/m"
        );
    }

    #[test]
    fn a_public_url_carries_nothing_else() {
        for wrong in [
            "http://voice.example.com",
            "https://voice.example.com/path",
            "https://voice.example.com?x=1",
            "https://voice.example.com#f",
            "https://user@voice.example.com",
            "wss://voice.example.com",
            "voice.example.com",
            "https://",
        ] {
            assert!(PublicUrl::parse(wrong, false).is_err(), "{wrong}");
        }
        assert!(PublicUrl::parse("http://127.0.0.1:5050", false).is_err());
        assert!(PublicUrl::parse("http://127.0.0.1:5050", true).is_ok());
        assert!(PublicUrl::parse("http://voice.example.com", true).is_err());
    }
}

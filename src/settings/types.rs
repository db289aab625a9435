//! Small validated types that settings are made of.

use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

/// Secrets of one kind: one, or several while they are rotated. What signs takes the first, what verifies accepts all.
#[derive(Clone)]
pub struct Secrets {
    first: SecretString,
    others: Vec<SecretString>,
}

impl Secrets {
    /// The first, and what else is accepted; what is there twice is kept once.
    pub fn new(first: SecretString, more: Vec<SecretString>) -> Self {
        let mut others: Vec<SecretString> = Vec::new();
        for secret in more {
            let mut known = std::iter::once(&first).chain(&others);
            if !known.any(|known| known.expose_secret() == secret.expose_secret()) {
                others.push(secret);
            }
        }
        Self { first, others }
    }

    /// What signs.
    pub fn first(&self) -> &SecretString {
        &self.first
    }

    /// What is accepted besides.
    pub fn others(&self) -> &[SecretString] {
        &self.others
    }

    /// All, the first first.
    pub fn iter(&self) -> impl Iterator<Item = &SecretString> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// The service's address as Twilio sees it: scheme, host and port, nothing behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// In the normal form: small letters, punycode, no usual port, no dot at the end of the name.
    origin: String,
    /// As it was written, where that is something else.
    spelled: Option<String>,
    is_loopback: bool,
}

/// Why an address cannot be the public one: the problem and a hint.
pub(super) type Problem = (String, String);

impl PublicUrl {
    /// Reads the address. `http://` is for loopback in development.
    pub(super) fn parse(text: &str, dev: bool) -> Result<Self, Problem> {
        let hint = "write it as https://voice.example.com".to_owned();
        let problem = |words: &str| (words.to_owned(), hint.clone());
        let mut url =
            Url::parse(text).map_err(|error| (format!("is not a URL ({error})"), hint.clone()))?;
        if url.host().is_none() {
            return Err(problem("has no host"));
        }
        let plain_allowed = dev && is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if plain_allowed => {}
            "http" => return Err(problem("is http, but Twilio's audio needs TLS")),
            other => return Err(problem(&format!("has the scheme {other}"))),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(problem("carries a user name or password"));
        }
        if url.query().is_some() {
            return Err(problem("carries a query"));
        }
        if url.fragment().is_some() {
            return Err(problem("carries a fragment"));
        }
        if url.path() != "/" {
            return Err(problem("carries a path"));
        }
        let without_dot = url.domain().and_then(|name| name.strip_suffix('.'));
        if let Some(name) = without_dot.map(str::to_owned) {
            url.set_host(Some(&name))
                .map_err(|error| problem(&format!("has no host ({error})")))?;
        }
        let origin = url.as_str().trim_end_matches('/').to_owned();
        let written = text.trim().split_once("://");
        let spelled = written
            .map(|(_, rest)| format!("{}://{}", url.scheme(), rest.trim_end_matches('/')))
            .filter(|spelled| *spelled != origin);
        Ok(Self {
            origin,
            spelled,
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
        as_socket(&self.join(path))
    }

    /// The address of a path in every spelling that Twilio may have signed: the normal one, which our TwiML has, and the
    /// one that was written, which may stand in Twilio's console as well.
    pub fn spellings(&self, path: &str) -> Vec<String> {
        let spelled = self.spelled.iter();
        let all = std::iter::once(&self.origin).chain(spelled);
        all.map(|origin| format!("{origin}{path}")).collect()
    }
}

/// The address of a WebSocket at an `http…` address: `https` becomes `wss`.
pub(crate) fn as_socket(url: &str) -> String {
    let rest = url.strip_prefix("http").unwrap_or(url);
    format!("ws{rest}")
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
    fn a_public_url_is_known_in_its_normal_form_and_as_it_was_written() {
        let normal = "https://voice.example.com";
        for (written, spellings) in [
            (normal, vec![normal]),
            ("https://voice.example.com/", vec![normal]),
            (
                "https://Voice.Example.com",
                vec![normal, "https://Voice.Example.com"],
            ),
            (
                "HTTPS://voice.example.com.",
                vec![normal, "https://voice.example.com."],
            ),
            (
                "https://voice.example.com:443/",
                vec![normal, "https://voice.example.com:443"],
            ),
            (
                "https://Bücher.example",
                vec!["https://xn--bcher-kva.example", "https://Bücher.example"],
            ),
        ] {
            let url = PublicUrl::parse(written, false).unwrap();
            assert_eq!(url.spellings(""), spellings, "{written}");
            assert_eq!(url.as_str(), spellings[0], "{written}");
            assert_eq!(
                url.join_websocket("/m"),
                format!("wss{}/m", &spellings[0][5..]),
                "{written}"
            );
        }
    }

    #[test]
    fn secrets_are_kept_once_in_their_order() {
        let secret = |text: &str| -> SecretString { text.to_owned().into() };
        let secrets = Secrets::new(secret("a"), vec![secret("b"), secret("a"), secret("b")]);
        let all: Vec<&str> = secrets
            .iter()
            .map(|secret| secret.expose_secret())
            .collect();
        assert_eq!(
            (secrets.first().expose_secret(), &all[..]),
            ("a", &["a", "b"][..])
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

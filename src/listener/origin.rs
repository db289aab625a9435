//! Requests that a page of somebody else's had a browser send.
//!
//! A browser on the machine of the service, or on the operator's, reaches what its user reaches. A page can send forms
//! and open WebSockets to any address, and a name that its owner points at 127.0.0.1 makes the answers readable, too.
//! Browsers say both: the name in `Host`, the page in `Origin` and `Sec-Fetch-Site`; pages cannot change these.

use std::net::IpAddr;

use actix_web::http::header::{self, HeaderMap};
use actix_web::http::uri::Authority;

/// Why such a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// It was sent to a name that is not this machine's.
    Host,
    /// A page from elsewhere had it sent.
    Origin,
}

impl Foreign {
    /// The label of counters and log lines.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Host => "foreign_host",
            Self::Origin => "foreign_origin",
        }
    }
}

/// The names under which a listener may be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Names<'a> {
    /// Any: a request proves otherwise who sent it.
    Any,
    /// This machine's alone, and that of the public URL (`https://…`) if there is one: nobody has to prove anything.
    Loopback { public_url: Option<&'a str> },
}

/// Refuses what a page from elsewhere had a browser send. What is sent without a browser has none of its headers and
/// passes, but for the name.
///
/// # Errors
/// Why it is refused.
pub(crate) fn check(headers: &HeaderMap, names: Names<'_>) -> Result<(), Foreign> {
    let host = only(headers, "host").and_then(|host| host.parse::<Authority>().ok());
    if let Names::Loopback { public_url } = names {
        let host = host.as_ref().ok_or(Foreign::Host)?;
        let is_public = public_url.is_some_and(|url| is_origin_of(url, host));
        if !is_public && !is_this_machine(host) {
            return Err(Foreign::Host);
        }
    }
    let fetched_from = headers
        .get("sec-fetch-site")
        .map(|site| site.to_str().unwrap_or("cross-site"));
    let is_foreign = if headers.contains_key(header::ORIGIN) {
        let is_own = || Some(is_origin_of(only(headers, "origin")?, host.as_ref()?));
        // Behind a proxy that changes the name, the browser's own word counts; where the name was checked, it has none.
        let same = matches!(names, Names::Any) && fetched_from == Some("same-origin");
        !same && is_own() != Some(true)
    } else {
        // A link somebody followed to a page is no request of the page it stood on.
        let is_visit = matches!(names, Names::Any)
            && only(headers, "sec-fetch-mode") == Some("navigate")
            && only(headers, "sec-fetch-dest") == Some("document");
        !matches!(fetched_from, None | Some("same-origin" | "none")) && !is_visit
    };
    if is_foreign {
        return Err(Foreign::Origin);
    }
    Ok(())
}

/// A header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// Whether an origin (`https://name:port`) is the one a request was sent to.
fn is_origin_of(origin: &str, host: &Authority) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    let port = |of: &Authority| of.port_u16().unwrap_or(usual);
    authority.host().eq_ignore_ascii_case(host.host()) && port(&authority) == port(host)
}

fn is_this_machine(host: &Authority) -> bool {
    if host.as_str().contains('@') {
        return false;
    }
    let name = host.host();
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match address.unwrap_or(name).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    const DEV: Names<'static> = Names::Loopback { public_url: None };

    #[test]
    fn in_development_only_this_machine_is_asked() {
        for host in [
            "127.0.0.1:5050",
            "127.9.9.9",
            "localhost",
            "LOCALHOST:80",
            "[::1]:5050",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(check(&headers(&[("host", host)]), DEV), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:5050",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "0.0.0.0:5050",
            "[::]:5050",
            "10.0.0.1",
            "evil.example@127.0.0.1",
            "",
        ] {
            let asked = check(&headers(&[("host", host)]), DEV);
            assert_eq!(asked, Err(Foreign::Host), "{host}");
        }
        let twice = headers(&[("host", "127.0.0.1"), ("host", "evil.example")]);
        assert_eq!(check(&twice, DEV), Err(Foreign::Host));
        assert_eq!(check(&headers(&[]), DEV), Err(Foreign::Host));
    }

    #[test]
    fn in_development_the_public_url_is_a_name_too() {
        let public_url = Some("https://tunnel.example");
        let names = Names::Loopback { public_url };
        for host in ["tunnel.example", "Tunnel.example:443", "127.0.0.1:5050"] {
            assert_eq!(check(&headers(&[("host", host)]), names), Ok(()), "{host}");
        }
        for host in ["tunnel.example:8443", "other.example"] {
            let asked = check(&headers(&[("host", host)]), names);
            assert_eq!(asked, Err(Foreign::Host), "{host}");
        }
    }

    #[test]
    fn a_page_from_elsewhere_is_refused_and_the_own_one_is_not() {
        let from = |host: &str, origin: &str, names| {
            check(&headers(&[("host", host), ("origin", origin)]), names)
        };
        for names in [DEV, Names::Any] {
            for origin in ["http://127.0.0.1:5051", "HTTP://127.0.0.1:5051"] {
                let own = from("127.0.0.1:5051", &origin.to_lowercase(), names);
                assert_eq!(own, Ok(()), "{origin}");
            }
            for origin in [
                "http://evil.example",
                "https://evil.example",
                "http://127.0.0.1:8080",
                "http://localhost:5051",
                "http://127.0.0.1",
                "null",
                "",
                "chrome-extension://127.0.0.1:5051",
            ] {
                let other = from("127.0.0.1:5051", origin, names);
                assert_eq!(other, Err(Foreign::Origin), "{origin}");
            }
        }
        assert_eq!(
            from("desk.example", "https://desk.example", Names::Any),
            Ok(())
        );
        assert_eq!(
            from("desk.example:443", "https://desk.example", Names::Any),
            Ok(())
        );
        let two = headers(&[
            ("host", "desk.example"),
            ("origin", "https://desk.example"),
            ("origin", "https://evil.example"),
        ]);
        assert_eq!(check(&two, Names::Any), Err(Foreign::Origin));
    }

    #[test]
    fn a_browser_says_where_a_request_without_an_origin_comes_from() {
        let fetched = |site: &str, more: &[(&str, &str)], names| {
            let mut pairs = vec![("host", "127.0.0.1:5051"), ("sec-fetch-site", site)];
            pairs.extend(more);
            check(&headers(&pairs), names)
        };
        for names in [DEV, Names::Any] {
            for site in ["same-origin", "none"] {
                assert_eq!(fetched(site, &[], names), Ok(()), "{site}");
            }
            // An image, a script, a frame.
            for site in ["cross-site", "same-site", "anything"] {
                assert_eq!(fetched(site, &[], names), Err(Foreign::Origin), "{site}");
            }
        }
        let link = [
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(fetched("cross-site", &link, Names::Any), Ok(()));
        assert_eq!(fetched("cross-site", &link, DEV), Err(Foreign::Origin));
        // A proxy in front of the operator's page may change the name.
        let behind = [("origin", "https://desk.example")];
        assert_eq!(fetched("same-origin", &behind, Names::Any), Ok(()));
        assert_eq!(fetched("same-origin", &behind, DEV), Err(Foreign::Origin));
    }
}

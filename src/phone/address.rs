//! Where Twilio reaches this service.

use actix_web::HttpRequest;

use crate::listener::origin::Names;
use crate::settings::{PublicUrl, Settings, as_socket};

/// The service's address as Twilio knows it. From the settings, never from Host headers, which anybody can write.
pub(crate) struct PublicAddress {
    /// `https://…` without a slash at the end.
    http: String,
    /// `wss://…` likewise.
    socket: String,
    /// As the settings write it, if they do.
    url: Option<PublicUrl>,
    /// The fleet's, where other processes answer, too.
    fleet: Option<PublicUrl>,
    is_dev: bool,
}

impl PublicAddress {
    /// At `base`, for these settings.
    pub(crate) fn new(base: String, settings: &Settings) -> Self {
        Self {
            socket: as_socket(&base),
            http: base,
            url: settings.public_url().cloned(),
            fleet: settings.server.fleet_url.clone(),
            is_dev: settings.is_dev(),
        }
    }

    /// The address of a path.
    pub(crate) fn of(&self, path: &str) -> String {
        format!("{}{path}", self.http)
    }

    /// The same for a WebSocket.
    pub(crate) fn of_socket(&self, path: &str) -> String {
        format!("{}{path}", self.socket)
    }

    /// The path of an address of ours.
    pub(crate) fn path_of<'u>(&self, url: &'u str) -> Option<&'u str> {
        url.strip_prefix(self.http.as_str())
    }

    /// The fleet's address of a path, if there is a fleet.
    pub(crate) fn of_fleet(&self, path: &str) -> Option<String> {
        self.fleet.as_ref().map(|fleet| fleet.join(path))
    }

    /// Whether streams without a ticket are taken.
    pub(crate) const fn is_dev(&self) -> bool {
        self.is_dev
    }

    /// How Twilio may have spelled the URL of a request when it signed it: as the settings do, or in the normal form that
    /// our TwiML has.
    pub(crate) fn spellings(&self, request: &HttpRequest) -> Vec<String> {
        let target = request.uri().path_and_query();
        let target = target.map_or("/", |target| target.as_str());
        match &self.url {
            Some(url) => url.spellings(target),
            None => vec![self.of(target)],
        }
    }

    /// Under which names callers reach us; `None`: each request has to prove who sent it.
    pub(crate) fn names(&self) -> Option<Names<'_>> {
        let public_url = self.url.as_ref().map(PublicUrl::as_str);
        self.is_dev.then_some(Names::Loopback { public_url })
    }
}

//! The emulated phone line that `call` and `load` use.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use call_protocol::phone::AccountSid;
use secrecy::ExposeSecret as _;
use switchboard_kit::twilio::{Account, Line, Route};
use url::Url;

use crate::cli::{Exit, Secret, complain};

/// Account of the emulated line where the environment names none; the service takes any, and counts those not its own.
const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// A line to a running instance. Requests are made for its public address and go to the one given.
///
/// # Errors
/// When the address cannot be resolved.
pub(super) fn line(
    to: &Url,
    public_url: Option<&Url>,
    auth_token: Option<&Secret>,
) -> io::Result<Line> {
    let from_environment = std::env::var("SWITCHBOARD_PUBLIC_URL")
        .ok()
        .and_then(|text| Url::parse(&text).ok());
    let base = public_url
        .cloned()
        .or(from_environment)
        .unwrap_or_else(|| to.clone());
    let webhook = base.join("/incoming-call").map_err(io::Error::other)?;
    let mut line = Line::new(webhook);
    line.route = Some(Route::everything(resolve(to)?));
    let token = match auth_token {
        Some(Secret(token)) => token.expose_secret().to_owned(),
        None => std::env::var("TWILIO_AUTH_TOKEN").unwrap_or_default(),
    };
    let account = std::env::var("TWILIO_ACCOUNT_SID").ok();
    let account = account.filter(|sid| AccountSid::parse(sid).is_some());
    line.account = Account::new(account.as_deref().unwrap_or(ACCOUNT), token);
    Ok(line)
}

fn resolve(to: &Url) -> io::Result<SocketAddr> {
    let host = to
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let port = to.port_or_known_default().unwrap_or(80);
    let mut addresses = (host.as_str(), port).to_socket_addrs()?;
    addresses
        .next()
        .ok_or_else(|| io::Error::other(format!("{host} has no address")))
}

/// How long the emulated side rests when it has nothing to do, before it waits for the next packet.
///
/// Twilio and the model are other machines, whose network cards hand packets over in handfuls. Without the rest each
/// message wakes a sleeping program on this machine, which its sender pays for: a tenth of what the service seems to cost.
const REST: Duration = Duration::from_millis(1);

/// A runtime for the emulated side, and what to do on it.
pub(super) fn on_runtime(task: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(|| std::thread::sleep(REST))
        .build()
    {
        Ok(runtime) => runtime.block_on(task),
        Err(error) => fail(&error),
    }
}

/// Says why a command failed.
pub(super) fn fail(error: &dyn std::fmt::Display) -> Exit {
    // Standard error may be closed; the exit code still tells.
    let _ = complain(error);
    Exit::Failed
}

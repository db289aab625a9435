//! The proxies whose settings ship in `docker/`, in front of the real service: sockets that are silent for long, reloads,
//! restarts.
//!
//! Here they run for seconds, where they are installed; the release gate runs them for ten minutes and fails where one is
//! missing: `cargo test --test release proxies -- --ignored --nocapture` (Debian: `apt-get install haproxy nginx caddy`).
//! `SWITCHBOARD_PROXY_SECONDS` and `SWITCHBOARD_PROXY_CALLS` make it shorter or larger.

mod crowd;
mod proxy;
mod restart;
mod rolling;
mod silence;

use proxy::Kind;

/// A number from the environment.
fn number(variable: &str, usual: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(usual, |text| text.parse().unwrap())
}

/// Those that are installed; says which are not.
#[allow(clippy::print_stdout)] // for whoever reads the test's output
fn installed() -> Vec<Kind> {
    let (there, missing): (Vec<_>, Vec<_>) =
        Kind::ALL.into_iter().partition(|kind| kind.is_installed());
    for kind in missing {
        println!("not run: {kind} is not installed (Debian: apt-get install {kind})");
    }
    there
}

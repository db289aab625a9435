//! `switchboard serve`: runs the service until it is told to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use switchboard_actors::metrics::Metrics;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Exit, complain};
use crate::service::{ConfigReloader, Service};
use crate::settings::{Changes, ProcessEnv, Settings};
use crate::telemetry;

/// After a second signal the process is gone by then.
const IN_HASTE: Duration = Duration::from_millis(700);

/// Runs the service until SIGTERM or SIGINT, then drains it. SIGHUP reads the settings again, from the same `config`.
pub async fn run(settings: Settings, config: Option<PathBuf>) -> Exit {
    for warning in &settings.warnings {
        log::warn!(target: "switchboard", warning:% = warning; "configuration");
    }
    let metrics = match Metrics::new(env!("CARGO_PKG_VERSION")) {
        Ok(metrics) => Arc::new(metrics),
        Err(error) => return fail(&error),
    };
    telemetry::install_panic_hook(metrics.panics.clone());
    // Before the ports are open: a signal that comes while starting must not be lost.
    let (mut term, mut interrupt, mut hangup) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    ) {
        (Ok(term), Ok(interrupt), Ok(hangup)) => (term, interrupt, hangup),
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return fail(&error),
    };
    let service = match Service::start(settings, metrics, None) {
        Ok(service) => service,
        Err(error) if error.is_of_the_settings() => {
            let _ = complain(error);
            return Exit::Usage;
        }
        Err(error) => return fail(&error),
    };
    log::info!(
        target: "switchboard", public:% = service.public, admin:% = service.admin, version = env!("CARGO_PKG_VERSION");
        "serving"
    );
    loop {
        tokio::select! {
            () = next_signal(&mut term, &mut interrupt) => break,
            _ = hangup.recv() => reload(service.renewal(), config.clone()).await,
        }
    }
    service.drain();
    log::info!(target: "switchboard", "draining");
    tokio::select! {
        () = service.drained() => {}
        () = next_signal(&mut term, &mut interrupt) => {
            log::warn!(target: "switchboard", "second signal, leaving at once");
            let _ = tokio::time::timeout(IN_HASTE, service.hand_over()).await;
        }
    }
    let _ = tokio::time::timeout(IN_HASTE, service.stop()).await;
    log::info!(target: "switchboard", "gone");
    Exit::Done
}

/// Reads the settings again; a file that cannot be used changes nothing.
async fn reload(renewal: ConfigReloader, config: Option<PathBuf>) {
    // Files, and perhaps the appointment book: not on the thread of the registry.
    let read = move || read_again(&renewal, config.as_deref());
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Changes {
            renewed,
            needs_restart,
        })) => {
            for key in renewed {
                log::info!(target: "switchboard", key; "secret renewed");
            }
            for key in needs_restart {
                log::warn!(target: "switchboard", key; "changed, but needs a restart");
            }
            log::info!(target: "switchboard", "settings reloaded");
        }
        Ok(Err(why)) => {
            log::error!(target: "switchboard", why = why.as_str(); "settings not reloaded, nothing is changed");
        }
        Err(error) => {
            log::error!(target: "switchboard", error:% = error; "settings not reloaded, nothing is changed")
        }
    }
}

fn read_again(renewal: &ConfigReloader, config: Option<&Path>) -> Result<Changes, String> {
    let settings = Settings::load(config, &ProcessEnv).map_err(|error| error.to_string())?;
    for warning in &settings.warnings {
        log::warn!(target: "switchboard", warning:% = warning; "configuration");
    }
    renewal.renew(settings).map_err(|error| error.to_string())
}

async fn next_signal(term: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn fail(error: &dyn std::fmt::Display) -> Exit {
    // Standard error may be closed; the exit code still tells.
    let _ = complain(error);
    Exit::Failed
}

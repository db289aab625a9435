//! `switchboard serve`: runs the service until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use switchboard_actors::metrics::Metrics;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Exit, complain};
use crate::service::Service;
use crate::settings::Settings;
use crate::telemetry;

/// After a second signal the process is gone by then.
const IN_HASTE: Duration = Duration::from_millis(700);

/// Runs the service until SIGTERM or SIGINT, then drains it.
pub async fn run(settings: Settings) -> Exit {
    for warning in &settings.warnings {
        log::warn!(target: "switchboard", warning:% = warning; "configuration");
    }
    let metrics = match Metrics::new(env!("CARGO_PKG_VERSION")) {
        Ok(metrics) => Arc::new(metrics),
        Err(error) => return fail(&error),
    };
    telemetry::install_panic_hook(metrics.panics.clone());
    // Before the ports are open: a signal that comes while starting must not be lost.
    let (mut term, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(term), Ok(interrupt)) => (term, interrupt),
        (Err(error), _) | (_, Err(error)) => return fail(&error),
    };
    let service = match Service::start(settings, metrics, None) {
        Ok(service) => service,
        Err(error) => return fail(&error),
    };
    log::info!(
        target: "switchboard", public:% = service.public, admin:% = service.admin, version = env!("CARGO_PKG_VERSION");
        "serving"
    );
    next_signal(&mut term, &mut interrupt).await;
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

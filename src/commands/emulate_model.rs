//! `switchboard emulate-model`: the emulated Realtime server by itself.

use std::io::Write as _;

use switchboard_kit::realtime::{Realtime, Recording, Script};

use super::line::{fail, on_runtime};
use super::progress::Progress;
use crate::cli::{EmulateModel, Exit, complain};

/// Runs the server until it is interrupted.
#[must_use]
pub fn run(arguments: &EmulateModel) -> Exit {
    let script = match &arguments.script {
        None => Script::spa(),
        Some(path) => match Script::load(path) {
            Ok(script) => script,
            Err(error) => {
                let _ = complain(format!(
                    "--script {}: {error}; see the kit's realtime module for the format",
                    path.display()
                ));
                return Exit::Usage;
            }
        },
    };
    on_runtime(serve(arguments, script))
}

async fn serve(arguments: &EmulateModel, script: Script) -> Exit {
    let server = Realtime::builder()
        .listen(arguments.listen)
        .script(script)
        .recording(Recording::Counts);
    let running = match server.start().await {
        Ok(running) => running,
        Err(error) => return fail(&format!("cannot listen on {}: {error}", arguments.listen)),
    };
    // The starter waits for this line.
    let _ = writeln!(
        std::io::stdout(),
        "emulated realtime server at {}",
        running.url()
    );
    let stop = async {
        let mut term =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok()?;
        term.recv().await
    };
    let leave = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            Some(()) = stop => {}
        }
    };
    let tell = |_| format!("{} sessions so far", running.sessions().len());
    Progress::on_terminal().beside(leave, tell).await;
    running.stop().await;
    Exit::Done
}

//! The `switchboard` binary: command line → one command → exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use switchboard::agents::catalog::{OwnTools, check_names};
use switchboard::cli::{Cli, Command, Exit, complain};
use switchboard::settings::{ProcessEnv, Settings};
use switchboard::{commands, telemetry};

fn main() -> ExitCode {
    match Cli::read(std::env::args_os()) {
        Ok(cli) => run(&cli).into(),
        Err(stop) => stop.print().into(),
    }
}

fn run(cli: &Cli) -> Exit {
    match cli.command() {
        Command::Serve => with_settings(cli, |settings| {
            if let Err(error) = telemetry::init(&settings.log) {
                let _ = complain(error);
                return Exit::Failed;
            }
            actix::System::new().block_on(commands::serve::run(settings, cli.config.clone()))
        }),
        Command::Check(check) => with_settings(cli, |settings| {
            let problems = commands::check::problems(&settings);
            if !problems.is_empty() {
                for problem in problems {
                    let _ = complain(problem);
                }
                return Exit::Usage;
            }
            let checked = actix::System::new().block_on(commands::check::run(
                &settings,
                check.offline,
                &mut std::io::stdout(),
            ));
            checked.unwrap_or(Exit::Failed)
        }),
        #[cfg(feature = "lab")]
        Command::Lab(lab) => commands::lab(&lab),
        Command::Book(book) => match Settings::data_only(cli.config.as_deref(), &ProcessEnv) {
            Ok(data) => commands::book::run(&book, &data, jiff::Timestamp::now()),
            Err(error) => {
                let _ = complain(error);
                Exit::Usage
            }
        },
    }
}

/// Reads the configuration; a bad value ends the process before any port is bound.
fn with_settings(cli: &Cli, command: impl FnOnce(Settings) -> Exit) -> Exit {
    let read = Settings::load_all(cli.config.as_deref(), &ProcessEnv).and_then(|settings| {
        // This program brings no tools along besides those of the service.
        check_names(&settings, &OwnTools::default())?;
        Ok(settings)
    });
    match read {
        Ok(settings) => command(settings),
        Err(errors) => {
            // `check` tells every problem; `serve` tells why it does not start.
            let told = match cli.command() {
                Command::Check(_) => usize::MAX,
                _ => 1,
            };
            for error in errors.iter().take(told) {
                let _ = complain(error);
            }
            Exit::Usage
        }
    }
}

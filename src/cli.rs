//! The command line: names, flags and exit codes. What commands do is in `commands`.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

mod book;
#[cfg(feature = "lab")]
mod lab;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

pub use book::{Book, BookAction, BookAdd, BookCancel, BookExport, BookImport, BookList};
#[cfg(feature = "lab")]
pub use lab::{Call, Demo, EmulateModel, Lab, Load, Secret};

/// The commands that come with the feature `lab`.
const LAB: [&str; 4] = ["demo", "call", "load", "emulate-model"];

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was told: 0.
    Done,
    /// It failed at run time: 1.
    Failed,
    /// Wrong usage or configuration: 64, as in `sysexits.h`.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Usage => Self::from(64),
        }
    }
}

/// Answers phone calls with a realtime voice model: Twilio Media Streams to the OpenAI Realtime API.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "switchboard", version, disable_help_subcommand = true)]
pub struct Cli {
    /// Configuration file [default: $SWITCHBOARD_CONFIG, else ./switchboard.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    command: Option<Command>,
}

/// The commands.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Run the service (the default)
    Serve,
    /// What emulates either end of the line.
    #[cfg(feature = "lab")]
    #[command(flatten)]
    Lab(Lab),
    /// Validate the configuration, then try what it names
    Check(Check),
    /// The appointment book, for people at the desk
    Book(Book),
}

/// Flags of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Check {
    /// Validate only; contact nobody
    #[arg(long)]
    pub offline: bool,
}

impl Cli {
    /// The command, `serve` by default.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or(Command::Serve)
    }

    /// Reads the command line.
    ///
    /// # Errors
    /// The text for the terminal, and the exit code: `--help` and `--version` are 0 on standard output, wrong usage
    /// is one sentence on standard error and 64.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        Self::try_parse_from(arguments).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop {
                exit: Exit::Done,
                text: error.render().to_string(),
            },
            _ => Stop {
                exit: Exit::Usage,
                text: not_in_this_build(&error).unwrap_or_else(|| sentence(&error)),
            },
        })
    }
}

/// Why the command line leads to no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The exit code.
    pub exit: Exit,
    /// What to tell the operator.
    pub text: String,
}

impl Stop {
    /// Tells the operator; help goes to standard output, trouble to standard error.
    pub fn print(&self) -> Exit {
        let text = self.text.trim_end();
        // A closed pipe (`switchboard --help | head -1`) is nobody's trouble.
        let _ = match self.exit {
            Exit::Done => writeln!(std::io::stdout(), "{text}"),
            _ => complain(text),
        };
        self.exit
    }
}

/// One sentence on standard error.
///
/// # Errors
/// When standard error is closed.
pub fn complain(sentence: impl std::fmt::Display) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "switchboard: {sentence}")
}

/// A command that another build has.
fn not_in_this_build(error: &clap::Error) -> Option<String> {
    let ContextValue::String(word) = error.get(ContextKind::InvalidSubcommand)? else {
        return None;
    };
    LAB.contains(&word.as_str()).then(|| {
        format!(
            "{word} is not in this build but in those with the feature lab, as `cargo build --release` and `docker \
             build --target lab` make them; see switchboard --help"
        )
    })
}

/// clap's message, whose parts stand on lines of their own, as one sentence with the way to mend it.
fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut words = Vec::new();
    let mut command = "switchboard".to_owned();
    for line in text.lines().map(str::trim) {
        if let Some(usage) = line.strip_prefix("Usage: ") {
            let names = usage
                .split(' ')
                .take_while(|word| !word.starts_with(['-', '[', '<']));
            command = names.collect::<Vec<_>>().join(" ");
            break;
        }
        if line.starts_with("For more information") {
            break;
        }
        let line = line.strip_prefix("error: ").unwrap_or(line);
        let line = line
            .strip_prefix("tip: ")
            .map_or(line.to_owned(), |tip| format!("({tip})"));
        if !line.is_empty() {
            words.push(line);
        }
    }
    format!("{}; see {command} --help", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn read(line: &str) -> Result<Cli, Stop> {
        Cli::read(line.split(' ').map(OsString::from))
    }

    pub(super) fn command(line: &str) -> Command {
        read(line).unwrap().command()
    }

    #[test]
    fn serve_is_the_default() {
        assert_eq!(command("switchboard"), Command::Serve);
        assert_eq!(command("switchboard serve"), Command::Serve);
        assert_eq!(command("switchboard --config a.toml"), Command::Serve);
    }

    #[test]
    fn the_configuration_file_may_stand_before_or_after_the_command() {
        for line in [
            "switchboard --config a.toml check",
            "switchboard check --config a.toml",
        ] {
            assert_eq!(read(line).unwrap().config, Some(PathBuf::from("a.toml")));
        }
    }

    #[test]
    fn flags_of_every_command_are_read() {
        let Command::Book(book) = command("switchboard book list --day friday --json") else {
            panic!("not book");
        };
        let day = Some("friday".to_owned());
        assert_eq!(book.action, BookAction::List(BookList { day, all: false }));
        assert!(book.json);
        assert_eq!(
            command("switchboard check --offline"),
            Command::Check(Check { offline: true })
        );
    }

    /// Each line is refused in one sentence with these words.
    pub(super) fn each_is_refused_with(lines: &[(&str, &str)]) {
        for (line, words) in lines {
            let stop = read(line).unwrap_err();
            assert_eq!(stop.exit, Exit::Usage, "{line}");
            assert!(!stop.text.contains('\n'), "{}", stop.text);
            assert!(
                stop.text.contains(words) && stop.text.contains("--help"),
                "{line}: {}",
                stop.text
            );
        }
    }

    #[test]
    fn wrong_usage_is_one_sentence_that_says_how_to_mend_it() {
        each_is_refused_with(&[
            ("switchboard check --ofline", "'--offline'"),
            ("switchboard chek", "check"),
            ("switchboard replay events.jsonl", "replay"),
            ("switchboard --config", "--config <FILE>"),
            ("switchboard book cancel", "<CODE>"),
        ]);
        assert_eq!(
            read("switchboard check --ofline").unwrap_err().text,
            "unexpected argument '--ofline' found (a similar argument exists: '--offline'); see switchboard check --help"
        );
    }

    pub(super) fn answers_help(command: &str) {
        let stop = read(&format!("switchboard{command} --help")).unwrap_err();
        assert_eq!(stop.exit, Exit::Done);
        assert!(stop.text.contains("Usage: switchboard"), "{}", stop.text);
    }

    #[test]
    fn every_command_answers_help_with_success() {
        for command in [
            "",
            " serve",
            " check",
            " book",
            " book list",
            " book add",
            " book cancel",
            " book import",
            " book export",
        ] {
            answers_help(command);
        }
        let version = read("switchboard --version").unwrap_err();
        assert_eq!(
            (version.exit, version.text.trim()),
            (
                Exit::Done,
                concat!("switchboard ", env!("CARGO_PKG_VERSION"))
            )
        );
    }
}

//! The command line: names, flags and exit codes. What commands do is in `commands`.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

mod book;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

pub use book::{Book, BookAction, BookAdd, BookCancel, BookExport, BookImport, BookList};

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
    /// Play one whole call with no account and no key, and keep what was said
    Demo(Demo),
    /// Phone a running instance as Twilio would
    Call(Call),
    /// Phone a running instance with many calls at once; prints JSON
    Load(Load),
    /// Run the emulated Realtime server by itself
    EmulateModel(EmulateModel),
    /// Validate the configuration, then try what it names
    Check(Check),
    /// The appointment book, for people at the desk
    Book(Book),
}

/// Flags of `demo`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Demo {
    /// Where call.wav, transcript.json, events.jsonl and the appointment book (book.sqlite) go
    #[arg(long, value_name = "DIR", default_value = "demo-call")]
    pub out: PathBuf,
    /// Do not wait for real time
    #[arg(long)]
    pub fast: bool,
    /// Break things on the way and show how the call goes on
    #[arg(long)]
    pub faults: bool,
}

/// Flags of `call`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Call {
    /// Address of the running instance, such as http://127.0.0.1:5050
    #[arg(long, value_name = "URL", value_parser = instance_url)]
    pub to: url::Url,
    /// The public address the instance is configured with, for signatures [default: $SWITCHBOARD_PUBLIC_URL, else the address above]
    #[arg(long, value_name = "URL", value_parser = instance_url)]
    pub public_url: Option<url::Url>,
    /// What the caller says, any WAV file [default: the built-in caller]
    #[arg(long, value_name = "FILE")]
    pub wav: Option<PathBuf>,
    /// Where to save what the caller heard
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The auth token that signs the requests [default: $TWILIO_AUTH_TOKEN; unsigned without either]
    #[arg(long, value_name = "T", value_parser = secret)]
    pub auth_token: Option<Secret>,
    /// The caller's number
    #[arg(long, value_name = "N")]
    pub from: Option<String>,
    /// The number the caller dialled
    #[arg(long, value_name = "N")]
    pub dialled: Option<String>,
}

/// Flags of `load`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Load {
    /// Address of the running instance, such as http://127.0.0.1:5050
    #[arg(long, value_name = "URL", value_parser = instance_url)]
    pub to: url::Url,
    /// The public address the instance is configured with, for signatures [default: $SWITCHBOARD_PUBLIC_URL, else the address above]
    #[arg(long, value_name = "URL", value_parser = instance_url)]
    pub public_url: Option<url::Url>,
    /// The auth token that signs the requests [default: $TWILIO_AUTH_TOKEN; unsigned without either]
    #[arg(long, value_name = "T", value_parser = secret)]
    pub auth_token: Option<Secret>,
    /// Calls at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub calls: u32,
    /// Length of every call
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
}

/// Flags of `emulate-model`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct EmulateModel {
    /// Address to listen on, such as 127.0.0.1:9000
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// What the model says and does [default: the built-in conversation]
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
}

/// Flags of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Check {
    /// Validate only; contact nobody
    #[arg(long)]
    pub offline: bool,
}

/// A secret from the command line; its `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(pub secrecy::SecretString);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("••••••••")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret as _;
        self.0.expose_secret() == other.0.expose_secret()
    }
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
                text: sentence(&error),
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

fn secret(text: &str) -> Result<Secret, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(Secret(text.to_owned().into()))
}

fn instance_url(text: &str) -> Result<url::Url, String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("write it like http://127.0.0.1:5050".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, Stop> {
        Cli::read(line.split(' ').map(OsString::from))
    }

    fn command(line: &str) -> Command {
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
        assert_eq!(
            command("switchboard demo --out d --fast --faults"),
            Command::Demo(Demo {
                out: "d".into(),
                fast: true,
                faults: true
            })
        );
        assert_eq!(
            command("switchboard demo"),
            Command::Demo(Demo {
                out: "demo-call".into(),
                fast: false,
                faults: false
            })
        );
        let Command::Call(call) = command(
            "switchboard call --to http://127.0.0.1:5050 --wav a.wav --out b.wav --auth-token tok --from +15550142 \
             --dialled +15550100",
        ) else {
            panic!("not call");
        };
        assert_eq!(call.to.as_str(), "http://127.0.0.1:5050/");
        assert_eq!(
            (call.from.as_deref(), call.dialled.as_deref()),
            (Some("+15550142"), Some("+15550100"))
        );
        assert!(!format!("{call:?}").contains("tok\""));
        let Command::Load(load) = command("switchboard load --to http://h --calls 50 --seconds 30")
        else {
            panic!("not load");
        };
        assert_eq!((load.calls, load.seconds), (50, 30));
        let Command::EmulateModel(model) =
            command("switchboard emulate-model --listen 127.0.0.1:0")
        else {
            panic!("not emulate-model");
        };
        assert_eq!(model.listen.port(), 0);
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

    #[test]
    fn wrong_usage_is_one_sentence_that_says_how_to_mend_it() {
        for (line, words) in [
            ("switchboard check --ofline", "'--offline'"),
            ("switchboard chek", "check"),
            ("switchboard replay events.jsonl", "replay"),
            ("switchboard load --to http://h --calls 5", "--seconds <S>"),
            (
                "switchboard load --to http://h --calls 0 --seconds 1",
                "--calls <N>",
            ),
            ("switchboard call --to ftp://h", "http://127.0.0.1:5050"),
            ("switchboard emulate-model --listen 9000", "--listen <ADDR>"),
            ("switchboard --config", "--config <FILE>"),
            ("switchboard book cancel", "<CODE>"),
        ] {
            let stop = read(line).unwrap_err();
            assert_eq!(stop.exit, Exit::Usage, "{line}");
            assert!(!stop.text.contains('\n'), "{}", stop.text);
            assert!(
                stop.text.contains(words) && stop.text.contains("--help"),
                "{line}: {}",
                stop.text
            );
        }
        assert_eq!(
            read("switchboard check --ofline").unwrap_err().text,
            "unexpected argument '--ofline' found (a similar argument exists: '--offline'); see switchboard check --help"
        );
    }

    #[test]
    fn every_command_answers_help_with_success() {
        for command in [
            "",
            " serve",
            " demo",
            " call",
            " load",
            " emulate-model",
            " check",
            " book",
            " book list",
            " book add",
            " book cancel",
            " book import",
            " book export",
        ] {
            let stop = read(&format!("switchboard{command} --help")).unwrap_err();
            assert_eq!(stop.exit, Exit::Done);
            assert!(stop.text.contains("Usage: switchboard"), "{}", stop.text);
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

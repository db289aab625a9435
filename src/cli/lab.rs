//! Commands that emulate either end of the line: they need `switchboard-kit`, and the image goes without them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The commands of the feature `lab`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Lab {
    /// Play one whole call with no account and no key, and keep what was said
    Demo(Demo),
    /// Phone a running instance as Twilio would
    Call(Call),
    /// Phone a running instance with many calls at once; prints JSON
    Load(Load),
    /// Run the emulated Realtime server by itself
    EmulateModel(EmulateModel),
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
    use clap::{CommandFactory, Subcommand as _};

    use super::*;
    use crate::cli::tests::{answers_help, command, each_is_refused_with};
    use crate::cli::{Cli, Command, LAB};

    fn lab(line: &str) -> Lab {
        let Command::Lab(lab) = command(line) else {
            panic!("{line} is not of the lab");
        };
        lab
    }

    #[test]
    fn flags_of_every_command_are_read() {
        let demo = |out: &str, fast, faults| {
            let out = out.into();
            Lab::Demo(Demo { out, fast, faults })
        };
        assert_eq!(
            lab("switchboard demo --out d --fast --faults"),
            demo("d", true, true)
        );
        assert_eq!(lab("switchboard demo"), demo("demo-call", false, false));
        let Lab::Call(call) = lab(
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
        let Lab::Load(load) = lab("switchboard load --to http://h --calls 50 --seconds 30") else {
            panic!("not load");
        };
        assert_eq!((load.calls, load.seconds), (50, 30));
        let Lab::EmulateModel(model) = lab("switchboard emulate-model --listen 127.0.0.1:0") else {
            panic!("not emulate-model");
        };
        assert_eq!(model.listen.port(), 0);
    }

    #[test]
    fn wrong_usage_is_one_sentence_that_says_how_to_mend_it() {
        each_is_refused_with(&[
            ("switchboard load --to http://h --calls 5", "--seconds <S>"),
            (
                "switchboard load --to http://h --calls 0 --seconds 1",
                "--calls <N>",
            ),
            ("switchboard call --to ftp://h", "http://127.0.0.1:5050"),
            ("switchboard emulate-model --listen 9000", "--listen <ADDR>"),
        ]);
    }

    #[test]
    fn every_command_answers_help_with_success() {
        for name in LAB {
            answers_help(&format!(" {name}"));
        }
    }

    #[test]
    fn a_build_without_the_lab_knows_what_it_lacks() {
        let lab = Lab::augment_subcommands(clap::Command::new("lab"));
        let names: Vec<&str> = lab.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(names, LAB);
        let whole = <Cli as CommandFactory>::command();
        assert!(LAB.iter().all(|name| whole.find_subcommand(name).is_some()));
    }
}

//! Tools, the fallback and transfer targets: types, and the rules that make them from the file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use switchboard_actors::tools::{Arguments, is_public, list_of_anything};
use url::{Host, Url};

use super::agents::CALL_TOOLS;
use super::built_in::{self, BuiltIn};
use super::env::secret_file;
use super::error::SettingsError;
use super::problems::Problems;
use super::types::is_loopback;
use super::{Warning, file, read, tool_headers};
use switchboard_base::number::PhoneNumber;

/// What a caller hears when the configuration says nothing about it.
const DEFAULT_SAY: &str =
    "I am sorry, we have a technical problem. Please call again in a few minutes.";
/// Twilio speaks 4,096 characters a `<Say>` at most (twilio.com/docs/voice/twiml/say); a caller in trouble needs less.
const MAX_SAY_CHARS: usize = 1_000;
/// A description is part of every prompt; a longer one is a manual.
const MAX_DESCRIPTION_CHARS: usize = 1_024;
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(5_000);
const KINDS: &str = "use http, mcp or builtin";
/// A mailbox takes a call after 20 to 30 seconds of ringing, and would count as an answer.
const DEFAULT_RING_SECONDS: i64 = 20;
/// What a person hears in a warm transfer when the configuration says nothing about it.
const DEFAULT_BRIEFING: &str = "A call from the phone agent. {summary} To take the call, press 1.";

/// A `[tools.NAME]`. No `Debug`: the URL may carry a key.
#[derive(Clone)]
pub struct Tool {
    /// Its name, as the model and the agents' lists use it.
    pub name: String,
    /// How it is reached.
    pub kind: ToolKind,
    /// What the model is told it does.
    pub description: String,
    /// Where it is.
    pub url: Url,
    /// It changes something: run exactly once, journalled.
    pub effects: bool,
    /// How long the model waits for it.
    pub timeout: Duration,
    /// It may reach loopback and private addresses.
    pub allow_private: bool,
    /// Signs requests of an http tool; the `authorization` of an mcp server.
    pub secret: Option<SecretString>,
    /// Sent along, such as an `Authorization`.
    pub headers: Vec<(String, SecretString)>,
    /// Its server answers the same `Idempotency-Key` with the first outcome, so that a request may be sent again.
    pub idempotent: bool,
    /// Hosts it may redirect to, besides its own.
    pub redirect_hosts: Vec<String>,
}

/// How a tool is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolKind {
    /// A signed POST.
    Http {
        /// JSON Schema of its arguments.
        parameters: serde_json::Value,
    },
    /// A Model Context Protocol server, which describes its own tools.
    Mcp,
}

/// What a caller hears when the model cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The words.
    pub say: String,
    /// Who takes the call then; `None`: nobody, hang up.
    pub dial: Option<PhoneNumber>,
}

impl Fallback {
    /// Reads `[fallback]` or an agent's own; what it leaves out comes from `base`.
    pub(super) fn read(
        prefix: &str,
        given: Option<&file::Fallback>,
        base: Option<&Fallback>,
    ) -> Result<Self, SettingsError> {
        let mut fallback = base.cloned().unwrap_or_else(|| Self {
            say: DEFAULT_SAY.to_owned(),
            dial: None,
        });
        let Some(given) = given else {
            return Ok(fallback);
        };
        if let Some(say) = &given.say {
            let key = format!("{prefix}.say");
            fallback.say = read::text(
                &key,
                say,
                MAX_SAY_CHARS,
                "write what the caller should hear",
            )?;
        }
        match given.dial.as_deref() {
            None => {}
            Some("") => fallback.dial = None,
            Some(number) => fallback.dial = Some(read::number(&format!("{prefix}.dial"), number)?),
        }
        Ok(fallback)
    }
}

/// Reads `[transfer.targets]`.
pub(super) fn targets(
    given: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> BTreeMap<String, PhoneNumber> {
    let mut targets = BTreeMap::new();
    for (name, number) in given {
        let key = format!("transfer.targets.{name}");
        let number = read::name(&key, name).and_then(|()| read::number(&key, number));
        if let Some(number) = problems.keep(number) {
            targets.insert(name.clone(), number);
        }
    }
    targets
}

/// How callers are transferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// What the person hears who answers.
    pub mode: TransferMode,
    /// Seconds for which it rings.
    pub ring_seconds: u16,
    /// What the person hears in a warm transfer, before the question whether to take the call; `{summary}` stands for
    /// what the call is about.
    pub briefing: String,
}

/// What the person hears who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferMode {
    /// The caller, at once.
    Cold,
    /// What the call is about, and then, after a key, the caller: who stays with the agent until then where Twilio can be
    /// asked to call people (REST credentials), and else hears it ring.
    Warm,
}

impl Transfer {
    /// Reads `[transfer]`. Twilio lets a call ring for 600 seconds at most
    /// (<https://www.twilio.com/docs/voice/twiml/dial#timeout>).
    pub(super) fn read(given: &file::Transfer) -> Result<Self, SettingsError> {
        let mode = match given.mode.as_deref() {
            None | Some("cold") => TransferMode::Cold,
            Some("warm") => TransferMode::Warm,
            Some(other) => {
                return Err(SettingsError::invalid(
                    "transfer.mode",
                    format!("is {other:?}"),
                    "use cold or warm",
                ));
            }
        };
        let seconds = given.ring_seconds.unwrap_or(DEFAULT_RING_SECONDS);
        let briefing = given.briefing.as_deref().unwrap_or(DEFAULT_BRIEFING);
        Ok(Self {
            mode,
            ring_seconds: read::ranged("transfer.ring_seconds", seconds, 5, 600)?,
            briefing: read::text(
                "transfer.briefing",
                briefing,
                MAX_SAY_CHARS,
                "write what the person should hear, with {summary} in it",
            )?,
        })
    }
}

/// All `[tools.NAME]`: those of others, and those of this process.
pub(super) type Tools = (BTreeMap<String, Tool>, BTreeMap<String, BuiltIn>);

/// Reads all `[tools.NAME]`. `folder` is where relative file names begin.
pub(super) fn tools(
    given: &BTreeMap<String, file::Tool>,
    folder: &Path,
    problems: &mut Problems,
) -> Tools {
    let (mut tools, mut built_ins) = (BTreeMap::new(), BTreeMap::new());
    for (name, fragment) in given {
        if fragment.kind.as_deref() == Some(built_in::KIND) {
            let built_in = problems.keep(built_in::read(name, fragment));
            built_ins.extend(built_in.map(|built_in| (name.clone(), built_in)));
        } else {
            let tool = tool(name, fragment, folder, problems);
            tools.extend(tool.map(|tool| (name.clone(), tool)));
        }
    }
    (tools, built_ins)
}

fn tool_name(name: &str) -> Result<(), SettingsError> {
    let key = format!("tools.{name}");
    read::name(&key, name)?;
    if CALL_TOOLS.contains(&name) {
        return Err(SettingsError::invalid(
            key,
            "takes the name of a built-in tool",
            "give it another name, or set kind = \"builtin\" to describe the built-in one",
        ));
    }
    Ok(())
}

fn tool(name: &str, given: &file::Tool, folder: &Path, problems: &mut Problems) -> Option<Tool> {
    let key = |field: &str| format!("tools.{name}.{field}");
    problems.keep(tool_name(name))?;
    let description = description(&key("description"), given).and_then(|description| {
        let hint = "say in a sentence what the tool does";
        description.ok_or_else(|| SettingsError::missing(key("description"), hint))
    });
    let allow_private = given.allow_private.unwrap_or(false);
    let description = problems.keep(description);
    let kind = problems.keep(kind(&key, given));
    let url = problems.keep(tool_url(&key("url"), given.url.as_deref(), allow_private));
    let timeout = problems.keep(timeout(&key("timeout_ms"), given));
    let secret = problems.keep(tool_secret(&key, given, folder));
    let headers = problems.keep(tool_headers::read(&key("headers"), &given.headers, folder));
    let hosts = problems.keep(redirect_hosts(
        &key("redirect_hosts"),
        &given.redirect_hosts,
    ));
    Some(Tool {
        name: name.to_owned(),
        kind: kind?,
        description: description?,
        url: url?,
        effects: given.effects.unwrap_or(false),
        timeout: timeout?.unwrap_or(DEFAULT_TIMEOUT),
        allow_private,
        secret: secret?,
        headers: headers?,
        idempotent: given.idempotent.unwrap_or(false),
        redirect_hosts: hosts?,
    })
}

/// What the model is told a tool does.
pub(super) fn description(key: &str, given: &file::Tool) -> Result<Option<String>, SettingsError> {
    let Some(text) = &given.description else {
        return Ok(None);
    };
    read::text(key, text, MAX_DESCRIPTION_CHARS, "say what the tool does").map(Some)
}

/// How long the model waits for a tool.
pub(super) fn timeout(key: &str, given: &file::Tool) -> Result<Option<Duration>, SettingsError> {
    let Some(ms) = given.timeout_ms else {
        return Ok(None);
    };
    let ms = read::ranged(key, ms, 100, 60_000)?;
    Ok(Some(Duration::from_millis(ms)))
}

/// JSON Schema of a tool's arguments.
pub(super) fn parameters(
    key: &str,
    given: &file::Tool,
) -> Result<Option<serde_json::Value>, SettingsError> {
    let Some(parameters) = given.parameters.clone() else {
        return Ok(None);
    };
    if parameters.get("type").and_then(serde_json::Value::as_str) != Some("object") {
        return Err(SettingsError::invalid(
            key,
            "is not the schema of an object",
            "begin it with type = \"object\"",
        ));
    }
    compiled(key, &parameters)?;
    Ok(Some(parameters))
}

/// Whether a tool's parameters are a JSON Schema.
///
/// # Errors
/// The place at which they are none, under the name of `key`.
pub fn compiled(key: &str, parameters: &serde_json::Value) -> Result<(), SettingsError> {
    match Arguments::compile(parameters) {
        Ok(_) => Ok(()),
        Err(error) => Err(SettingsError::invalid(
            key,
            format!("is no JSON Schema: {error}"),
            "write it as in https://json-schema.org/understanding-json-schema",
        )),
    }
}

/// Tools that a model's server may refuse although their parameters are a JSON Schema.
pub(super) fn doubtful((tools, built_ins): &Tools) -> impl Iterator<Item = Warning> {
    let of_others = tools.values().filter_map(|tool| match &tool.kind {
        ToolKind::Http { parameters } => Some((&tool.name, parameters)),
        ToolKind::Mcp => None,
    });
    let of_process = built_ins
        .values()
        .filter_map(|tool| Some((&tool.name, tool.parameters.as_ref()?)));
    of_others
        .chain(of_process)
        .filter_map(|(name, parameters)| {
            let place = list_of_anything(parameters)?;
            Some(Warning::ListOfAnything {
                key: format!("tools.{name}.parameters"),
                place,
            })
        })
}

fn redirect_hosts(key: &str, given: &[String]) -> Result<Vec<String>, SettingsError> {
    let mut hosts = Vec::new();
    for host in given {
        let parsed = Host::parse(host).map_err(|_| {
            SettingsError::invalid(
                key,
                format!("has {host:?}, which is not a host name"),
                "write it like crm.example.com",
            )
        })?;
        hosts.push(parsed.to_string());
    }
    Ok(hosts)
}

fn kind(key: &dyn Fn(&str) -> String, given: &file::Tool) -> Result<ToolKind, SettingsError> {
    match given.kind.as_deref() {
        Some("http") => {
            let empty = || serde_json::json!({ "type": "object", "properties": {} });
            let parameters = parameters(&key("parameters"), given)?.unwrap_or_else(empty);
            Ok(ToolKind::Http { parameters })
        }
        Some("mcp") if given.parameters.is_some() => Err(SettingsError::invalid(
            key("parameters"),
            "is set, but an mcp server describes its own tools",
            "remove it",
        )),
        Some("mcp") if given.effects == Some(true) || given.idempotent == Some(true) => {
            Err(SettingsError::invalid(
                key("effects"),
                "or idempotent is set, but an mcp server is called by the model's provider",
                "remove it; the server must see to it that nothing is done twice",
            ))
        }
        Some("mcp") => Ok(ToolKind::Mcp),
        Some(other) => Err(SettingsError::invalid(
            key("kind"),
            format!("is {other:?}"),
            KINDS,
        )),
        None => Err(SettingsError::missing(key("kind"), KINDS)),
    }
}

fn tool_url(key: &str, given: Option<&str>, allow_private: bool) -> Result<Url, SettingsError> {
    let hint = "write an https:// address";
    let text = given.ok_or_else(|| SettingsError::missing(key, hint))?;
    let url = Url::parse(text)
        .map_err(|error| SettingsError::invalid(key, format!("is not a URL ({error})"), hint))?;
    if url.host().is_none() || !matches!(url.scheme(), "https" | "http") {
        return Err(SettingsError::invalid(key, "is not an http address", hint));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SettingsError::invalid(
            key,
            "carries a user name or password",
            "use secret instead",
        ));
    }
    if !allow_private && (url.scheme() == "http" || is_inside(&url)) {
        return Err(SettingsError::invalid(
            key,
            "is plain http, or an address inside your own network or on this machine",
            "use https, or set allow_private = true for a tool inside your own network",
        ));
    }
    Ok(url)
}

/// Whether a URL's host is not on the public internet, as far as can be said without asking a resolver; names are
/// looked at with each request.
fn is_inside(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => !is_public(address.into()),
        Some(Host::Ipv6(address)) => !is_public(address.into()),
        Some(Host::Domain(_)) | None => is_loopback(url),
    }
}

/// What signs a tool's requests. Of several lines it is the first: a file with the secrets of a rotation can be one for
/// both ends, and the tool's server accepts them all.
fn tool_secret(
    key: &dyn Fn(&str) -> String,
    given: &file::Tool,
    folder: &Path,
) -> Result<Option<SecretString>, SettingsError> {
    match (&given.secret, &given.secret_file) {
        (Some(_), Some(_)) => Err(SettingsError::invalid(
            key("secret"),
            "and secret_file are both set",
            "remove one of them",
        )),
        (Some(secret), None) => Ok(Some(first_line(secret))),
        (None, Some(file)) => {
            let secrets = secret_file(&key("secret_file"), &folder.join(file))?;
            Ok(Some(first_line(&secrets)))
        }
        (None, None) => Ok(None),
    }
}

fn first_line(secrets: &SecretString) -> SecretString {
    let mut lines = secrets.expose_secret().lines();
    let first = lines.find(|line| !line.trim().is_empty());
    first.unwrap_or_default().to_owned().into()
}

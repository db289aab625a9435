//! Third stage: the rules that make [`Settings`] from merged inputs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::agent_rules::{self, AgentContext};
use super::agents::{Agent, BUILT_IN_AGENT};
use super::callers::{BookRules, CallerLimits};
use super::error::SettingsError;
use super::inputs::{Given, GivenSecret, Inputs};
use super::keys::{self, Key};
use super::model_rules::{check_standing, model_name};
use super::problems::{Problems, SettingsErrors};
use super::tools::{self, Fallback};
use super::types::{PublicUrl, is_loopback};
use super::{
    Data, DialAt, Limits, Log, LogFormat, OpenAi, RestCredentials, RestLogin, Secrets, Server,
    Settings, Store, StreamSignature, Trust, Twilio, Warning, models, read,
};

/// Shorter tokens can be guessed.
const MIN_ADMIN_TOKEN_CHARS: usize = 16;

/// Agents are read against it where the model of the settings is wrong.
const USUAL_MODEL: &str = "gpt-realtime-2.1";

/// Different characters of a token. A random one of sixteen hexadecimal digits has fewer once in seven million times.
const MIN_ADMIN_TOKEN_KINDS: usize = 5;

/// Applies every rule.
pub(super) fn validate(mut inputs: Inputs) -> Result<Settings, SettingsErrors> {
    let mut problems = std::mem::take(&mut inputs.problems);
    let settings = settings(inputs, &mut problems);
    problems.end(settings)
}

/// Reads everything, also where something before it is wrong: then what depends on it is read against the defaults.
fn settings(inputs: Inputs, problems: &mut Problems) -> Option<Settings> {
    let summary = inputs.summary();
    let mut warnings = Vec::new();
    let dev = problems.keep(required(&inputs.dev, &keys::DEV).and_then(read::switch));
    let listen = problems.keep(public_listener(&inputs));
    let admin_listen =
        problems.keep(required(&inputs.admin_listen, &keys::ADMIN_LISTEN).and_then(listener));
    if let (Some(public), Some(admin)) = (listen, admin_listen)
        && public == admin
        && public.port() != 0
    {
        problems.add(SettingsError::invalid(
            keys::ADMIN_LISTEN.name(),
            format!("is {admin}, the address of the public listener"),
            "give it another port",
        ));
    }
    let openai = dev.and_then(|dev| openai(&inputs, dev, &mut warnings, problems));
    let trust = dev.and_then(|dev| trust(&inputs, dev, (listen, admin_listen), problems));
    if let Some(Trust::Dev {
        public_url: Some(public_url),
    }) = &trust
        && !public_url.is_loopback()
    {
        warnings.push(Warning::DevInPublic {
            public_url: public_url.as_str().to_owned(),
        });
    }
    let limits = limits(&inputs, problems);
    let callers = problems.keep(CallerLimits::read(&inputs.file.limits));
    let book = problems.keep(BookRules::read(&inputs.file.book));

    let folder = inputs
        .file_path
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(Path::new(""))
        .to_owned();
    let all_tools = tools::tools(&inputs.file.tools, &folder, problems);
    warnings.extend(tools::doubtful(&all_tools));
    let (tools, built_ins) = all_tools;
    let transfer_targets = tools::targets(&inputs.file.transfer.targets, problems);
    let transfer = problems.keep(tools::Transfer::read(&inputs.file.transfer));
    let fallback = problems.keep(Fallback::read(
        "fallback",
        Some(&inputs.file.fallback),
        None,
    ));
    let stand_in = Fallback::read("fallback", None, None).ok();
    let around = AgentContext {
        folder: &folder,
        model: openai.as_ref().map_or(USUAL_MODEL, |openai| &openai.model),
        max_call: limits.map_or(Duration::MAX, |limits| limits.max_call),
        fallback: fallback.as_ref().or(stand_in.as_ref())?,
        tools: &tools,
        built_ins: &built_ins,
        written: &inputs.file,
    };
    let agents = agents(&inputs, &around, &mut warnings, problems);
    let default_agent = default_agent(&inputs, &agents, problems);
    let agent_by_number = numbers(&agents, problems);
    let workers = problems.keep(workers(inputs.workers.as_ref()));
    let fleet_url = dev.and_then(|dev| problems.keep(fleet_url(&inputs, dev)));
    let data = problems.keep(data(&inputs));
    let twilio = twilio(&inputs, problems);
    let log = problems.keep(log(&inputs));

    Some(Settings {
        server: Server {
            listen: listen?,
            workers: workers?,
            trust: trust?,
            fleet_url: fleet_url?,
        },
        admin_listen: admin_listen?,
        data: data?,
        limits: limits?,
        callers: callers?,
        book: book?,
        twilio: twilio?,
        log: log?,
        openai: openai?,
        tools,
        built_ins,
        fallback: fallback?,
        transfer_targets,
        transfer: transfer?,
        warnings,
        agents,
        default_agent: default_agent?,
        agent_by_number,
        file_path: inputs.file_path,
        summary,
    })
}

fn limits(inputs: &Inputs, problems: &mut Problems) -> Option<Limits> {
    let file = &inputs.file.limits;
    let max_calls = required(&inputs.max_calls, &keys::MAX_CALLS);
    let max_calls = problems.keep(max_calls.and_then(|given| read::number_in(given, 1, 100_000)));
    let max_call = required(&inputs.max_call_seconds, &keys::MAX_CALL_SECONDS);
    let max_call = problems.keep(max_call.and_then(|given| seconds(given, 10)));
    let drain = required(&inputs.drain_seconds, &keys::DRAIN_SECONDS);
    let drain = problems.keep(drain.and_then(|given| seconds(given, 0)));
    let mut dollars = |key, given| problems.keep(read::dollars(key, given));
    let max_call_cost_usd = dollars("limits.max_call_cost_usd", file.max_call_cost_usd);
    let max_day_cost_usd = dollars("limits.max_day_cost_usd", file.max_day_cost_usd);
    Some(Limits {
        max_calls: max_calls?,
        max_call: max_call?,
        drain: drain?,
        max_call_cost_usd: max_call_cost_usd?,
        max_day_cost_usd: max_day_cost_usd?,
    })
}

/// A value that the table of defaults always fills in.
fn required<'a>(given: &'a Option<Given>, key: &Key) -> Result<&'a Given, SettingsError> {
    given
        .as_ref()
        .ok_or_else(|| SettingsError::missing(key.name(), "set it"))
}

fn listener(given: &Given) -> Result<SocketAddr, SettingsError> {
    given.text.parse().map_err(|_| {
        SettingsError::invalid(
            given.name(),
            format!("is {:?}, not an address with a port", given.text),
            "write it like 127.0.0.1:5050",
        )
    })
}

fn public_listener(inputs: &Inputs) -> Result<SocketAddr, SettingsError> {
    let mut listen = listener(required(&inputs.listen, &keys::LISTEN)?)?;
    if let Some(port) = &inputs.port {
        listen.set_port(read::number_in(port, 0, u16::MAX)?);
    }
    Ok(listen)
}

fn fleet_url(inputs: &Inputs, dev: bool) -> Result<Option<PublicUrl>, SettingsError> {
    let Some(text) = inputs.file.server.fleet_url.as_deref() else {
        return Ok(None);
    };
    PublicUrl::parse(text, dev)
        .map(Some)
        .map_err(|(trouble, mend)| SettingsError::invalid("server.fleet_url", trouble, mend))
}

fn trust(
    inputs: &Inputs,
    dev: bool,
    (listen, admin_listen): (Option<SocketAddr>, Option<SocketAddr>),
    problems: &mut Problems,
) -> Option<Trust> {
    let parse = |given: &Given| {
        PublicUrl::parse(&given.text, dev)
            .map_err(|(trouble, mend)| SettingsError::invalid(given.name(), trouble, mend))
    };
    let given_url = inputs.public_url.as_ref();
    let public_url = given_url.and_then(|given| problems.keep(parse(given)));
    if dev {
        for (key, address) in [(keys::LISTEN, listen?), (keys::ADMIN_LISTEN, admin_listen?)] {
            if !address.ip().is_loopback() {
                problems.add(SettingsError::DevNotOnLoopback {
                    key: keys::DEV.name(),
                    listener: key.name(),
                    address: address.to_string(),
                });
            }
        }
        return Some(Trust::Dev { public_url });
    }
    let dev_hint = "or set SWITCHBOARD_DEV=1 on loopback";
    if given_url.is_none() {
        problems.add(SettingsError::missing(
            keys::PUBLIC_URL.name(),
            format!("set it to the https:// address Twilio reaches, {dev_hint}"),
        ));
    }
    let missing = |key: &Key, mend: String| SettingsError::missing(key.name(), mend);
    let auth_token = secret(&inputs.auth_token).and_then(|token| {
        let mend =
            format!("set it to the account's auth token, which verifies webhooks, {dev_hint}");
        token.ok_or_else(|| missing(&keys::TWILIO_AUTH_TOKEN, mend))
    });
    let auth_token = problems.keep(auth_token);
    let secondary = problems.keep(secret(&inputs.auth_token_secondary));
    let admin_tokens = admin_tokens(inputs).and_then(|tokens| {
        let mend = format!(
            "set it to a random text of at least {MIN_ADMIN_TOKEN_CHARS} characters, {dev_hint}"
        );
        tokens.ok_or_else(|| missing(&keys::ADMIN_TOKEN, mend))
    });
    let admin_tokens = problems.keep(admin_tokens);
    Some(Trust::Verified {
        public_url: public_url?,
        auth_tokens: Secrets::new(auth_token?, Vec::from_iter(secondary?)),
        admin_tokens: admin_tokens?,
    })
}

/// The operator's tokens, separated by blanks.
fn admin_tokens(inputs: &Inputs) -> Result<Option<Secrets>, SettingsError> {
    let fits = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let Some(given) = secret_of(&inputs.admin_token, fits)? else {
        return Ok(None);
    };
    let tokens = given.expose_secret().split_ascii_whitespace();
    let mut tokens = tokens.map(admin_token).collect::<Result<Vec<_>, _>>()?;
    let first = tokens.remove(0);
    Ok(Some(Secrets::new(first, tokens)))
}

fn admin_token(text: &str) -> Result<SecretString, SettingsError> {
    if text.chars().count() < MIN_ADMIN_TOKEN_CHARS {
        return Err(SettingsError::invalid(
            keys::ADMIN_TOKEN.name(),
            format!("has fewer than {MIN_ADMIN_TOKEN_CHARS} characters"),
            "use a longer random text",
        ));
    }
    if is_repetition(text) {
        return Err(SettingsError::invalid(
            keys::ADMIN_TOKEN.name(),
            "repeats the same few characters",
            "use a random text, such as `openssl rand -hex 32` gives",
        ));
    }
    Ok(text.to_owned().into())
}

/// Whether a token has fewer different characters than any random one of its length: it was typed to fill the field.
fn is_repetition(token: &str) -> bool {
    token.chars().collect::<BTreeSet<char>>().len() < MIN_ADMIN_TOKEN_KINDS
}

/// A secret that can stand in a header: visible ASCII, as all of Twilio's and OpenAI's are.
fn secret(given: &Option<GivenSecret>) -> Result<Option<SecretString>, SettingsError> {
    secret_of(given, |byte| byte.is_ascii_graphic())
}

fn secret_of(
    given: &Option<GivenSecret>,
    fits: fn(u8) -> bool,
) -> Result<Option<SecretString>, SettingsError> {
    let Some(given) = given else { return Ok(None) };
    let text = given.text.expose_secret().trim();
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(fits) {
        return Err(SettingsError::invalid(
            given.key.name(),
            "has spaces or characters that no HTTP header can carry",
            "copy it again, without quotes and line breaks",
        ));
    }
    Ok(Some(text.to_owned().into()))
}

fn openai(
    inputs: &Inputs,
    dev: bool,
    warnings: &mut Vec<Warning>,
    problems: &mut Problems,
) -> Option<OpenAi> {
    let url = required(&inputs.openai_url, &keys::OPENAI_URL).and_then(model_url);
    let url = problems.keep(url);
    let model = problems.keep(usual_model(inputs, warnings));
    let api_key = url
        .as_ref()
        .and_then(|url| problems.keep(api_key(inputs, dev, url)));
    let dial = match inputs.file.openai.dial.as_deref() {
        None | Some("socket") => Ok(DialAt::Socket),
        Some("webhook") => Ok(DialAt::Webhook),
        Some(other) => Err(SettingsError::invalid(
            "openai.dial",
            format!("is {other:?}"),
            "use socket or webhook",
        )),
    };
    let dial = problems.keep(dial);
    Some(OpenAi {
        api_key: api_key?,
        url: url?,
        model: model?,
        dial: dial?,
    })
}

fn usual_model(inputs: &Inputs, warnings: &mut Vec<Warning>) -> Result<String, SettingsError> {
    let given = required(&inputs.openai_model, &keys::OPENAI_MODEL)?;
    let model = model_name(&given.name(), &given.text)?;
    check_standing(&given.name(), &model, models::realtime(&model), warnings)?;
    Ok(model)
}

fn api_key(inputs: &Inputs, dev: bool, url: &Url) -> Result<SecretString, SettingsError> {
    let is_openai = url
        .host_str()
        .is_some_and(|host| host == "openai.com" || host.ends_with(".openai.com"));
    let given = if is_openai {
        secret(&inputs.openai_api_key)?
    } else {
        // Compatible servers have keys of their own making.
        secret_of(&inputs.openai_api_key, |byte| {
            byte.is_ascii_graphic() || byte == b' '
        })?
    };
    match given {
        Some(api_key) => Ok(api_key),
        // An emulated model asks for no key.
        None if dev && is_loopback(url) => Ok("dev".to_owned().into()),
        None => Err(SettingsError::missing(
            keys::OPENAI_API_KEY.name(),
            "set it to the key of the model's server",
        )),
    }
}

fn model_url(given: &Given) -> Result<Url, SettingsError> {
    let mend = "write it like wss://api.openai.com/v1/realtime";
    let invalid = |trouble: &str| SettingsError::invalid(given.name(), trouble, mend);
    let url =
        Url::parse(&given.text).map_err(|error| invalid(&format!("is not a URL ({error})")))?;
    if url.host().is_none() {
        return Err(invalid("has no host"));
    }
    match url.scheme() {
        "wss" => {}
        "ws" if is_loopback(&url) => {}
        "ws" => {
            return Err(invalid(
                "is ws:// to another machine, which would send the key and the call in clear",
            ));
        }
        _ => return Err(invalid("is not a WebSocket address")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("carries a user name or password"));
    }
    if url.fragment().is_some() {
        return Err(invalid("carries a fragment"));
    }
    if url.query_pairs().any(|(name, _)| name == "model") {
        return Err(SettingsError::invalid(
            given.name(),
            "names a model",
            format!("remove it there and set {}", keys::OPENAI_MODEL.name()),
        ));
    }
    Ok(url)
}

fn twilio(inputs: &Inputs, problems: &mut Problems) -> Option<Twilio> {
    let api_url = required(&inputs.api_url, &keys::TWILIO_API_URL).and_then(api_url);
    let api_url = problems.keep(api_url);
    let stream_signature = match inputs.file.twilio.stream_signature.as_deref() {
        None | Some("require") => Ok(StreamSignature::Require),
        Some("log") => Ok(StreamSignature::Log),
        Some("off") => Ok(StreamSignature::Off),
        Some(other) => Err(SettingsError::invalid(
            "twilio.stream_signature",
            format!("is {other:?}"),
            "use require, log or off",
        )),
    };
    let stream_signature = problems.keep(stream_signature);
    let rest = problems.keep(rest_credentials(inputs));
    Some(Twilio {
        api_url: api_url?,
        rest: rest?,
        stream_signature: stream_signature?,
    })
}

fn api_url(given: &Given) -> Result<Url, SettingsError> {
    let mend = "write it like https://api.twilio.com";
    let invalid = |trouble: &str| SettingsError::invalid(given.name(), trouble, mend);
    let url =
        Url::parse(&given.text).map_err(|error| invalid(&format!("is not a URL ({error})")))?;
    let scheme_fits = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    if url.host().is_none() || !scheme_fits {
        return Err(invalid(
            "is not an https:// address (http:// is for loopback only)",
        ));
    }
    if !url.username().is_empty() || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("carries a user name, a query or a fragment"));
    }
    Ok(url)
}

fn rest_credentials(inputs: &Inputs) -> Result<Option<RestCredentials>, SettingsError> {
    let api_key = secret(&inputs.api_key)?;
    let api_secret = secret(&inputs.api_secret)?;
    let api_login = match (api_key, api_secret) {
        (Some(key), Some(secret)) => {
            if !key.expose_secret().starts_with("SK") {
                return Err(SettingsError::invalid(
                    keys::TWILIO_API_KEY.name(),
                    "does not begin with SK",
                    "use the SID of an API key",
                ));
            }
            Some(RestLogin::ApiKey { key, secret })
        }
        (Some(_), None) => {
            return Err(SettingsError::missing(
                keys::TWILIO_API_SECRET.name(),
                format!("set it too, since {} is set", keys::TWILIO_API_KEY.name()),
            ));
        }
        (None, Some(_)) => {
            return Err(SettingsError::missing(
                keys::TWILIO_API_KEY.name(),
                format!(
                    "set it too, since {} is set",
                    keys::TWILIO_API_SECRET.name()
                ),
            ));
        }
        (None, None) => None,
    };
    let Some(given) = &inputs.account_sid else {
        if api_login.is_some() {
            return Err(SettingsError::missing(
                keys::TWILIO_ACCOUNT_SID.name(),
                "set it too: it is part of every REST path",
            ));
        }
        return Ok(None);
    };
    let hex = given.text.strip_prefix("AC").unwrap_or_default();
    if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(SettingsError::invalid(
            given.name(),
            "is not an account SID",
            "copy it from the Twilio console: AC and 32 hexadecimal digits",
        ));
    }
    let login = match api_login {
        Some(login) => Some(login),
        None => secret(&inputs.auth_token)?.map(RestLogin::AuthToken),
    };
    Ok(login.map(|login| RestCredentials {
        account_sid: given.text.clone(),
        login,
    }))
}

fn seconds(given: &Given, least: u64) -> Result<Duration, SettingsError> {
    Ok(Duration::from_secs(read::number_in(given, least, 86_400)?))
}

fn workers(given: Option<&Given>) -> Result<usize, SettingsError> {
    match given {
        Some(given) => read::number_in(given, 1, 256),
        None => Ok(std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(256)),
    }
}

/// Reads `[data]`.
pub(super) fn data(inputs: &Inputs) -> Result<Data, SettingsError> {
    let dir = required(&inputs.data_dir, &keys::DATA_DIR)?;
    let store = required(&inputs.store, &keys::STORE)?;
    let kind = match store.text.as_str() {
        "sqlite" => Store::Sqlite,
        "memory" => Store::Memory,
        text if text.starts_with("redis://") || text.starts_with("rediss://") => {
            return Err(SettingsError::invalid(
                store.name(),
                "names a Redis server, which this version cannot use",
                "use sqlite, which several processes on one machine can share, or memory",
            ));
        }
        // Not quoted: a mistyped store URL may hold a password.
        _ => {
            return Err(SettingsError::invalid(
                store.name(),
                "is not a store",
                "use sqlite or memory",
            ));
        }
    };
    if dir.text.is_empty() {
        return Err(SettingsError::invalid(
            dir.name(),
            "is empty",
            "name a directory",
        ));
    }
    Ok(Data {
        dir: PathBuf::from(&dir.text),
        store: kind,
    })
}

fn log(inputs: &Inputs) -> Result<Log, SettingsError> {
    let format = match &inputs.log_format {
        None => LogFormat::Auto,
        Some(given) => match given.text.as_str() {
            "human" => LogFormat::Human,
            "json" => LogFormat::Json,
            other => {
                return Err(SettingsError::invalid(
                    given.name(),
                    format!("is {other:?}"),
                    "use human or json",
                ));
            }
        },
    };
    let filter = required(&inputs.log_filter, &keys::RUST_LOG)?.text.clone();
    Ok(Log {
        filter,
        format,
        transcripts: inputs.file.log.transcripts.unwrap_or(false),
    })
}

fn agents(
    inputs: &Inputs,
    around: &AgentContext<'_>,
    warnings: &mut Vec<Warning>,
    problems: &mut Problems,
) -> BTreeMap<String, Arc<Agent>> {
    let mut agents = BTreeMap::new();
    for (name, given) in &inputs.file.agents {
        if let Some(agent) = agent_rules::agent(name, given, around, warnings, problems) {
            agents.insert(name.clone(), Arc::new(agent));
        }
    }
    if inputs.file.agents.is_empty() {
        let agent = Agent::built_in(around.model, around.max_call, around.fallback.clone());
        agents.insert(BUILT_IN_AGENT.to_owned(), Arc::new(agent));
    }
    agents
}

/// The agent that takes every other number; `None`, too, for one in which something is wrong.
fn default_agent(
    inputs: &Inputs,
    agents: &BTreeMap<String, Arc<Agent>>,
    problems: &mut Problems,
) -> Option<Arc<Agent>> {
    let written = &inputs.file.agents;
    let names = || {
        let names = written
            .keys()
            .chain(agents.keys().filter(|name| !written.contains_key(*name)));
        names.cloned().collect::<Vec<_>>().join(", ")
    };
    match &inputs.file.default_agent {
        Some(name) => {
            let found = agents.get(name).cloned();
            if found.is_none() && !written.contains_key(name) {
                problems.add(SettingsError::UnknownName {
                    key: "default_agent".to_owned(),
                    name: name.clone(),
                    mend: format!("use one of {}", names()),
                });
            }
            found
        }
        None if written.len() <= 1 => agents.values().next().cloned(),
        None => {
            problems.add(SettingsError::missing(
                "default_agent",
                format!(
                    "name the agent that takes every other number, one of {}",
                    names()
                ),
            ));
            None
        }
    }
}

fn numbers(
    agents: &BTreeMap<String, Arc<Agent>>,
    problems: &mut Problems,
) -> HashMap<String, Arc<Agent>> {
    let mut by_number: HashMap<String, Arc<Agent>> = HashMap::new();
    for agent in agents.values() {
        for number in &agent.numbers {
            let Some(other) = by_number.insert(number.as_str().to_owned(), Arc::clone(agent))
            else {
                continue;
            };
            if other.name != agent.name {
                problems.add(SettingsError::NumberClaimedTwice {
                    first: other.name.clone(),
                    second: agent.name.clone(),
                    number: number.masked(),
                });
            }
        }
    }
    by_number
}

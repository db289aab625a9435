//! The rules that make [`Settings`] of what was given.

mod openai;
mod server;
mod twilio;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::agent_rules::{self, AgentContext};
use super::agents::{Agent, BUILT_IN_AGENT};
use super::callers::{BookRules, CallerLimits};
use super::error::SettingsError;
use super::inputs::{Given, GivenSecret, Inputs};
use super::keys;
use super::problems::{Problems, SettingsErrors};
use super::tools::{self, Fallback};
use call_protocol::model::openai::models;

use super::{Data, Limits, Log, LogFormat, Server, Settings, Store, Trust, Warning, read};
use openai::openai;
use server::{fleet_url, listener, public_listener, trust, workers};
use twilio::twilio;

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
    let dev = problems.keep(inputs.required(&keys::DEV).and_then(read::switch));
    let listen = problems.keep(public_listener(&inputs));
    let admin_listen = problems.keep(inputs.required(&keys::ADMIN_LISTEN).and_then(listener));
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
        model: openai
            .as_ref()
            .map_or(models::RECOMMENDED, |openai| &openai.model),
        max_call: limits.map_or(Duration::MAX, |limits| limits.max_call),
        fallback: fallback.as_ref().or(stand_in.as_ref())?,
        tools: &tools,
        built_ins: &built_ins,
        written: &inputs.file,
    };
    let agents = agents(&inputs, &around, &mut warnings, problems);
    let default_agent = default_agent(&inputs, &agents, problems);
    let agent_by_number = numbers(&agents, problems);
    let workers = problems.keep(workers(inputs.given(&keys::WORKERS)));
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
    let max_calls = inputs.required(&keys::MAX_CALLS);
    let max_calls = problems.keep(max_calls.and_then(|given| read::number_in(given, 1, 100_000)));
    let max_call = inputs.required(&keys::MAX_CALL_SECONDS);
    let max_call = problems.keep(max_call.and_then(|given| seconds(given, 10)));
    let drain = inputs.required(&keys::DRAIN_SECONDS);
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

/// A secret that can stand in a header: visible ASCII, as all of Twilio's and OpenAI's are.
fn secret(given: Option<&GivenSecret>) -> Result<Option<SecretString>, SettingsError> {
    secret_of(given, |byte| byte.is_ascii_graphic())
}

fn secret_of(
    given: Option<&GivenSecret>,
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

fn seconds(given: &Given, least: u64) -> Result<Duration, SettingsError> {
    Ok(Duration::from_secs(read::number_in(given, least, 86_400)?))
}

/// Reads `[data]`.
pub(super) fn data(inputs: &Inputs) -> Result<Data, SettingsError> {
    let dir = inputs.required(&keys::DATA_DIR)?;
    let store = inputs.required(&keys::STORE)?;
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
    let format = match inputs.given(&keys::LOG_FORMAT) {
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
    let filter = inputs.required(&keys::RUST_LOG)?.text.clone();
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
                    hint: format!("use one of {}", names()),
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

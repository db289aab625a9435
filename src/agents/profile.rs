//! An agent of the settings as the call machine wants it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use call_protocol::call::{
    AgentProfile, END_CALL, Greeting, LONGEST_MONOLOGUE, Silence, TRANSFER_CALL,
};
use call_protocol::model::command::{
    SessionOptions, SessionSetup, Transcription, TurnDetection, Voice,
};

use call_protocol::audio::payload::Payload;
use call_protocol::model::openai::{models, tools as offered};
use call_protocol::tool::{Filler, FillerWords, ToolRules};
use serde_json::{Value, json};

use switchboard_actors::tools::ToolBox;

use crate::agents::catalog;
use crate::settings;
use crate::settings::agents;
use crate::settings::clip;
use crate::settings::tool_use::FillerVoice;

/// Why an agent cannot answer.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {} {problem}; give a WAV file", file.display())]
pub struct ProfileError {
    key: String,
    file: std::path::PathBuf,
    problem: String,
}

/// What agents' profiles are made with.
pub(crate) struct AgentContext<'a> {
    /// Names calls can be transferred to.
    pub(crate) targets: &'a [String],
    /// Tools the service runs.
    pub(crate) tools: &'a ToolBox,
    pub(crate) configured: &'a BTreeMap<String, settings::Tool>,
    /// What the settings say of tools of this process.
    pub(crate) built_ins: &'a BTreeMap<String, settings::BuiltIn>,
    /// Whether the person who takes a caller is told what the model says about the call.
    pub(crate) briefs: bool,
    /// People are called while the caller stays with the agent, and ring for so long.
    pub(crate) calls_ahead: Option<Duration>,
    /// US dollars a call may cost.
    pub(crate) max_cost_usd: Option<f64>,
}

/// Makes the profile of an agent.
///
/// # Errors
/// When a clip cannot be read.
pub(crate) fn profile(
    agent: &agents::Agent,
    around: &AgentContext<'_>,
) -> Result<Arc<AgentProfile>, ProfileError> {
    let voice = match &agent.voice {
        agents::Voice::Named(name) => Voice::Named((*name).to_owned()),
        agents::Voice::Custom(id) => Voice::Custom(id.clone()),
    };
    let options = SessionOptions {
        turns: Some(turns(&agent.turn_detection)),
        transcription: agent.transcription.as_ref().map(transcription),
        noise_reduction: agent
            .model
            .noise_reduction
            .map(|kind| kind.as_str().to_owned()),
        reasoning: agent
            .model
            .reasoning
            .filter(|_| models::reasons(&agent.model.name))
            .map(|effort| effort.as_str().to_owned()),
        max_output_tokens: agent.model.max_output_tokens.map(u32::from),
    };
    let greeting = match &agent.greeting {
        agents::Greeting::Model { text } => Greeting::Model {
            instructions: text.clone(),
        },
        agents::Greeting::Wait => Greeting::Wait,
        agents::Greeting::Clip { file, text } => Greeting::Clip {
            audio: played(&format!("agents.{}.greeting.clip", agent.name), file)?,
            text: text.clone().unwrap_or_default(),
        },
    };
    let silence = agent.silence.as_ref().map(|silence| Silence {
        after: silence.after,
        instructions: silence.text.clone(),
        attempts: silence.attempts,
    });
    Ok(Arc::new(AgentProfile {
        name: agent.name.clone(),
        model: agent.model.name.clone(),
        session: SessionSetup {
            instructions: agent.instructions.clone(),
            voice,
            tools: tools(agent, around),
            options: Some(options),
        },
        greeting,
        protected: agent.protected,
        silence,
        longest_monologue: LONGEST_MONOLOGUE,
        answer_within: agent.answer_within,
        filler: filler(agent)?,
        keys: agent.keys.clone(),
        mask_digits: agent.mask_digits,
        transfer_targets: around.targets.to_vec(),
        calls_ahead: around.calls_ahead,
        max_cost_usd: around.max_cost_usd,
        tools: rules(agent, around.tools)?,
    }))
}

/// What the agent's callers hear while they wait.
fn filler(agent: &agents::Agent) -> Result<Option<Payload>, ProfileError> {
    Ok(match &agent.filler {
        agents::Filler::Tone => Some(call_protocol::audio::tone::tone()),
        agents::Filler::Silence => None,
        agents::Filler::Clip { file } => {
            Some(played(&format!("agents.{}.filler.clip", agent.name), file)?)
        }
    })
}

fn played(key: &str, file: &Path) -> Result<Payload, ProfileError> {
    clip::sound(file).map_err(|problem| ProfileError {
        key: key.to_owned(),
        file: file.to_owned(),
        problem,
    })
}

/// The tools the service runs for the agent, and how.
fn rules(agent: &agents::Agent, tools: &ToolBox) -> Result<ToolRules, ProfileError> {
    let mut offered = Vec::new();
    for tool in &agent.tools {
        offered.extend(tools.spec(tool.name()).cloned());
    }
    let filler = match &agent.tool_use.filler {
        None => None,
        Some(filler) => Some(Filler {
            after: filler.after,
            words: match &filler.says {
                FillerVoice::Model { text } => FillerWords::Model {
                    instructions: text.clone(),
                },
                FillerVoice::Clip { file, text } => FillerWords::Clip {
                    audio: played(&format!("agents.{}.tool_filler.clip", agent.name), file)?,
                    text: text.clone().unwrap_or_default(),
                },
            },
        }),
    };
    Ok(ToolRules {
        offered,
        calls_a_turn: agent.tool_use.calls_a_turn,
        filler,
    })
}

/// Tools an agent names that nobody runs.
pub(crate) fn unavailable<'a>(
    agent: &'a agents::Agent,
    around: &AgentContext<'_>,
) -> impl Iterator<Item = &'a str> {
    let tools = agent.tools.iter().map(agents::ToolRef::name);
    tools.filter(|name| {
        let is_run = around.tools.spec(name).is_some() || around.configured.contains_key(*name);
        !is_run && *name != END_CALL && *name != TRANSFER_CALL
    })
}

/// The tools of the agent, as the model is told of them: those the call itself carries out, those the service runs, and
/// those the model's provider calls.
fn tools(agent: &agents::Agent, around: &AgentContext<'_>) -> Vec<Value> {
    let wants = |name: &str| agent.tools.iter().any(|tool| tool.name() == name);
    let described = |name: &str, usual: &str, parameters: &Value| {
        let said = around.built_ins.get(name);
        let said = said.and_then(|said| said.description.as_deref());
        offered::function(name, said.unwrap_or(usual), parameters)
    };
    let mut tools = Vec::new();
    if wants(END_CALL) {
        let none = json!({"type": "object", "properties": {}});
        tools.push(described(END_CALL, ENDS, &none));
    }
    if wants(TRANSFER_CALL) && !around.targets.is_empty() {
        tools.push(described(TRANSFER_CALL, TRANSFERS, &destination(around)));
    }
    for tool in &agent.tools {
        tools.extend(around.tools.spec(tool.name()).map(offered::of));
        tools.extend(around.configured.get(tool.name()).and_then(catalog::mcp));
    }
    tools
}

/// What the model is told of [`END_CALL`].
const ENDS: &str = "Ends the call. Say goodbye first, then call this; the line is cut when the caller has heard it.";

/// What the model is told of [`TRANSFER_CALL`].
const TRANSFERS: &str =
    "Connects the caller with a person. Say that you are doing so first, then call this.";

/// What a transfer takes.
fn destination(around: &AgentContext<'_>) -> Value {
    let mut properties = json!({
        "target": {"type": "string", "enum": around.targets, "description": "Who takes the call."},
    });
    if around.briefs {
        properties["summary"] = json!({
            "type": "string",
            "description": "Who calls and what about, in one or two sentences; read to the person before the caller joins.",
        });
    }
    json!({"type": "object", "properties": properties, "required": ["target"]})
}

fn turns(turns: &agents::TurnDetection) -> TurnDetection {
    match turns {
        agents::TurnDetection::ServerVad {
            threshold,
            prefix_padding_ms,
            silence_duration_ms,
            idle_timeout_ms,
            create_response,
            interrupt_response,
        } => TurnDetection::Server {
            threshold: *threshold,
            prefix_padding_ms: *prefix_padding_ms,
            silence_duration_ms: *silence_duration_ms,
            idle_timeout_ms: *idle_timeout_ms,
            answer: *create_response,
            interrupt: *interrupt_response,
        },
        agents::TurnDetection::SemanticVad {
            eagerness,
            create_response,
            interrupt_response,
        } => TurnDetection::Semantic {
            eagerness: eagerness.as_str().to_owned(),
            answer: *create_response,
            interrupt: *interrupt_response,
        },
    }
}

/// The model wants the bare language, `pt` of `pt-BR`.
fn transcription(transcription: &agents::Transcription) -> Transcription {
    let language = transcription.language.split('-').next().unwrap_or_default();
    Transcription {
        model: transcription.model.clone(),
        language: (!language.is_empty()).then(|| language.to_lowercase()),
    }
}

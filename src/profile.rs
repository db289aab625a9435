//! An agent of the settings as the call machine wants it.

use std::sync::Arc;

use call_protocol::call::{AgentProfile, Greeting};
use call_protocol::model::command::{
    SessionOptions, SessionSetup, Transcription, TurnDetection, Voice,
};

use crate::settings::agents;
use crate::settings::models;

/// Makes the profile of an agent.
pub(crate) fn profile(agent: &agents::Agent) -> Arc<AgentProfile> {
    let voice = match &agent.voice {
        agents::Voice::Named(name) => Voice::Named((*name).to_owned()),
        agents::Voice::Custom(id) => Voice::Custom(id.clone()),
    };
    let options = SessionOptions {
        turns: turns(&agent.turn_detection),
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
        tools: Vec::new(),
    };
    let greeting = match &agent.greeting {
        agents::Greeting::Model { text } => Greeting::Model {
            instructions: text.clone(),
        },
        agents::Greeting::Wait | agents::Greeting::Clip { .. } => Greeting::Wait,
    };
    Arc::new(AgentProfile {
        name: agent.name.clone(),
        model: agent.model.name.clone(),
        session: SessionSetup {
            instructions: agent.instructions.clone(),
            voice,
            options: Some(options),
        },
        greeting,
    })
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

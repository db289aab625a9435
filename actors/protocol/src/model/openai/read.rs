//! Server events, read in one pass and borrowed from the frame they came in.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::audio::AudioFormat;
use crate::audio::payload::Payload;
use crate::ids::{Interner, ModelId, clip};
use crate::model::event::{
    ItemDone, ItemKind, ModelError, ModelEvent, RateLimit, ResponseDone, ResponseStatus,
    SessionInfo, Usage,
};
use crate::wire::json::{Flag, Number, Text};
use crate::wire::{ReadError, json};

use super::MAX_MESSAGE;

/// Characters kept of an error's text.
const MAX_ERROR_TEXT: usize = 500;

/// Characters kept of one transcript or transcript delta.
const MAX_WORDS: usize = 16 * 1024;

/// Bytes kept of a tool call's arguments; longer ones make the call incomplete, so that it is never run.
const MAX_ARGUMENTS: usize = 64 * 1024;

/// Items of a response that are looked at for calls.
const MAX_CALLS: usize = 64;

#[derive(Default, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    response_id: Text<'a>,
    #[serde(borrow, default)]
    item_id: Text<'a>,
    #[serde(default)]
    content_index: Number,
    #[serde(borrow, default)]
    delta: Text<'a>,
    #[serde(borrow, default)]
    transcript: Text<'a>,
    #[serde(borrow, default)]
    call_id: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Text<'a>,
    #[serde(borrow, default)]
    session: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    rate_limits: Option<&'a RawValue>,
}

/// Reads one server event. Audio stays in the buffer it came in.
///
/// # Errors
/// [`ReadError`] when the event cannot be used; the session goes on, the caller counts.
pub fn read(message: &Bytes, ids: &mut Interner) -> Result<ModelEvent, ReadError> {
    let text = std::str::from_utf8(message).map_err(|_| ReadError::Malformed)?;
    let envelope = json::object(text).ok_or(ReadError::Malformed)?;
    read_event(message, envelope, ids)
}

fn read_event(
    message: &Bytes,
    envelope: Envelope<'_>,
    ids: &mut Interner,
) -> Result<ModelEvent, ReadError> {
    let kind = envelope.kind.as_str().ok_or(ReadError::Incomplete)?;
    Ok(match kind {
        "response.output_audio.delta" | "response.audio.delta" => {
            let (response, item, part) = place(&envelope, ids)?;
            let text = match envelope.delta.0.ok_or(ReadError::Incomplete)? {
                Cow::Borrowed(text) => message.slice_ref(text.as_bytes()),
                Cow::Owned(text) => Bytes::from(text),
            };
            let payload = Payload::from_base64(text, MAX_MESSAGE)?;
            ModelEvent::Audio {
                response,
                item,
                part,
                payload,
            }
        }
        "response.output_audio.done" | "response.audio.done" => {
            let (response, item, part) = place(&envelope, ids)?;
            ModelEvent::AudioDone {
                response,
                item,
                part,
            }
        }
        "response.output_audio_transcript.delta" | "response.audio_transcript.delta" => {
            ModelEvent::AgentTranscriptDelta {
                item: id(&envelope.item_id, ids)?,
                part: part(&envelope)?,
                text: clip(envelope.delta.as_str().unwrap_or_default(), MAX_WORDS).to_owned(),
            }
        }
        "response.output_audio_transcript.done" | "response.audio_transcript.done" => {
            match envelope.transcript.as_str() {
                Some(text) => ModelEvent::AgentSaid {
                    item: id(&envelope.item_id, ids)?,
                    part: part(&envelope)?,
                    text: clip(text, MAX_WORDS).to_owned(),
                },
                None => ModelEvent::Ignored,
            }
        }
        "response.function_call_arguments.done" => {
            let arguments = envelope.arguments.as_str().unwrap_or_default();
            let name = envelope.name.as_str();
            ModelEvent::ToolArguments {
                response: id(&envelope.response_id, ids)?,
                item: id(&envelope.item_id, ids)?,
                call: ModelId::new(clip(
                    envelope.call_id.as_str().ok_or(ReadError::Incomplete)?,
                    128,
                )),
                name: name.map(|name| clip(name, 128).to_owned()),
                arguments: clip(arguments, MAX_ARGUMENTS).to_owned(),
                complete: arguments.len() <= MAX_ARGUMENTS,
            }
        }
        "input_audio_buffer.speech_started" => ModelEvent::SpeechStarted {
            item: id(&envelope.item_id, ids)?,
        },
        "input_audio_buffer.speech_stopped" => ModelEvent::SpeechStopped {
            item: id(&envelope.item_id, ids)?,
        },
        "input_audio_buffer.committed" => ModelEvent::CallerTurn {
            item: id(&envelope.item_id, ids)?,
        },
        "conversation.item.input_audio_transcription.completed" => {
            let text = clip(envelope.transcript.as_str().unwrap_or_default(), MAX_WORDS).to_owned();
            ModelEvent::CallerTranscript {
                item: id(&envelope.item_id, ids)?,
                text: Some(text),
            }
        }
        "conversation.item.input_audio_transcription.failed" => ModelEvent::CallerTranscript {
            item: id(&envelope.item_id, ids)?,
            text: None,
        },
        "response.created" => {
            let response: Response<'_> = part_of(envelope.response)?;
            let format = response
                .audio
                .and_then(|audio| audio.output)
                .and_then(|output| output.format);
            ModelEvent::ResponseStarted {
                response: id(&response.id, ids)?,
                format: format.as_ref().map(format_of),
            }
        }
        "response.output_item.added" => {
            let item: Item<'_> = part_of(envelope.item)?;
            ModelEvent::ItemStarted {
                response: id(&envelope.response_id, ids)?,
                item: id(&item.id, ids)?,
                tool: tool_of(&item),
            }
        }
        "response.output_item.done" => {
            let item: Item<'_> = part_of(envelope.item)?;
            let done = ItemDone {
                id: id(&item.id, ids)?,
                kind: item_kind(&item),
            };
            ModelEvent::ItemDone {
                response: id(&envelope.response_id, ids)?,
                item: done,
            }
        }
        "response.done" => {
            ModelEvent::ResponseDone(Box::new(response_done(part_of(envelope.response)?, ids)?))
        }
        "session.created" => ModelEvent::SessionCreated(session_info(part_of(envelope.session)?)),
        "session.updated" => {
            ModelEvent::SessionConfigured(session_info(part_of(envelope.session)?))
        }
        "rate_limits.updated" => {
            let limits: Vec<Limit<'_>> = part_of(envelope.rate_limits)?;
            ModelEvent::RateLimits(limits.into_iter().take(8).map(rate_limit).collect())
        }
        "error" => ModelEvent::Error(Box::new(model_error(part_of(envelope.error)?))),
        "mcp_list_tools.failed" => ModelEvent::ToolsUnlisted,
        other if NOTED.contains(&other) => ModelEvent::Ignored,
        _ => ModelEvent::Unknown,
    })
}

/// Events of the GA interface that the bridge has no use for: other transports, other tool kinds, and what a `done`
/// event says again.
const NOTED: &[&str] = &[
    "conversation.created",
    "conversation.item.added",
    "conversation.item.created",
    "conversation.item.done",
    "conversation.item.retrieved",
    "conversation.item.truncated",
    "conversation.item.deleted",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.segment",
    "input_audio_buffer.cleared",
    "input_audio_buffer.timeout_triggered",
    "input_audio_buffer.dtmf_event_received",
    "output_audio_buffer.started",
    "output_audio_buffer.stopped",
    "output_audio_buffer.cleared",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.function_call_arguments.delta",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.mcp_call.in_progress",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
    "mcp_list_tools.in_progress",
    "mcp_list_tools.completed",
];

fn part_of<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Result<T, ReadError> {
    let raw = raw.ok_or(ReadError::Incomplete)?;
    serde_json::from_str(raw.get()).map_err(|_| ReadError::Malformed)
}

fn id(text: &Text<'_>, ids: &mut Interner) -> Result<ModelId, ReadError> {
    match text.as_str() {
        Some(text) if !text.is_empty() => Ok(ids.id(text)),
        _ => Err(ReadError::Incomplete),
    }
}

fn place(
    envelope: &Envelope<'_>,
    ids: &mut Interner,
) -> Result<(ModelId, ModelId, u32), ReadError> {
    Ok((
        id(&envelope.response_id, ids)?,
        id(&envelope.item_id, ids)?,
        part(envelope)?,
    ))
}

fn part(envelope: &Envelope<'_>) -> Result<u32, ReadError> {
    u32::try_from(envelope.content_index.0.unwrap_or(0)).map_err(|_| ReadError::Malformed)
}

/// The tool an item is a call of, where that is said.
fn tool_of(item: &Item<'_>) -> Option<String> {
    let name = item.name.as_str()?;
    let is_call = item.kind.as_str() == Some("function_call");
    is_call.then(|| clip(name, 128).to_owned())
}

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(default)]
    expires_at: Number,
    #[serde(borrow, default)]
    audio: Option<SessionAudio<'a>>,
    /// Where servers of the interface before this one have them, and some that speak both.
    #[serde(borrow, default)]
    input_audio_format: Text<'a>,
    #[serde(borrow, default)]
    output_audio_format: Text<'a>,
    #[serde(default)]
    turn_detection: Option<TurnDetection>,
}

#[derive(Deserialize)]
struct SessionAudio<'a> {
    #[serde(borrow, default)]
    input: Option<SessionInput<'a>>,
    #[serde(borrow, default)]
    output: Option<Output<'a>>,
}

#[derive(Deserialize)]
struct SessionInput<'a> {
    #[serde(borrow, default)]
    format: Option<Format<'a>>,
    #[serde(default)]
    turn_detection: Option<TurnDetection>,
}

#[derive(Deserialize)]
struct TurnDetection {
    #[serde(default)]
    create_response: Flag,
    #[serde(default)]
    interrupt_response: Flag,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow, default)]
    format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    rate: Number,
}

fn format_of(format: &Format<'_>) -> AudioFormat {
    match (format.kind.as_str(), format.rate.0) {
        (Some("audio/pcmu"), None | Some(8_000)) => AudioFormat::Mulaw,
        (Some("audio/pcm"), None | Some(24_000)) => AudioFormat::Pcm24k,
        _ => AudioFormat::Other,
    }
}

/// A format of the interface before this one.
fn format_named(name: &Text<'_>) -> Option<AudioFormat> {
    Some(match name.as_str()? {
        "g711_ulaw" => AudioFormat::Mulaw,
        "pcm16" => AudioFormat::Pcm24k,
        _ => AudioFormat::Other,
    })
}

fn session_info(session: Session<'_>) -> SessionInfo {
    let (input, output) = session
        .audio
        .map_or((None, None), |audio| (audio.input, audio.output));
    let input_format = input
        .as_ref()
        .and_then(|input| input.format.as_ref())
        .map(format_of)
        .or_else(|| format_named(&session.input_audio_format));
    let turns = input
        .and_then(|input| input.turn_detection)
        .or(session.turn_detection);
    SessionInfo {
        id: session
            .id
            .as_str()
            .map(|text| ModelId::new(clip(text, 128))),
        model: session
            .model
            .as_str()
            .map(|text| clip(text, 128).to_owned()),
        expires_at: session.expires_at.0,
        input: input_format,
        output: output
            .and_then(|output| output.format)
            .as_ref()
            .map(format_of)
            .or_else(|| format_named(&session.output_audio_format)),
        interrupts: turns.as_ref().and_then(|turns| turns.interrupt_response.0),
        answers: turns.as_ref().and_then(|turns| turns.create_response.0),
    }
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(borrow, default)]
    call_id: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Text<'a>,
    #[serde(borrow, default)]
    server_label: Text<'a>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<Vec<Content<'a>>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
}

fn item_kind(item: &Item<'_>) -> ItemKind {
    match item.kind.as_str() {
        Some("message") => ItemKind::Message,
        Some("function_call") => {
            let arguments = item.arguments.as_str().unwrap_or_default();
            let (Some(call), Some(name)) = (item.call_id.as_str(), item.name.as_str()) else {
                return ItemKind::Other;
            };
            ItemKind::ToolCall {
                call: ModelId::new(clip(call, 128)),
                name: clip(name, 128).to_owned(),
                arguments: clip(arguments, MAX_ARGUMENTS).to_owned(),
                // Not every server gives an item a status; one that was cut has another.
                complete: item
                    .status
                    .as_str()
                    .is_none_or(|status| status == "completed")
                    && arguments.len() <= MAX_ARGUMENTS,
            }
        }
        Some("mcp_call") => ItemKind::ServerCall {
            server: clip(item.server_label.as_str().unwrap_or_default(), 128).to_owned(),
            failed: item.error.is_some_and(|error| error.get() != "null"),
        },
        Some("mcp_approval_request") => ItemKind::ApprovalRequest,
        _ => ItemKind::Other,
    }
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(borrow, default)]
    status_details: Option<StatusDetails<'a>>,
    #[serde(borrow, default)]
    output: Option<Vec<Item<'a>>>,
    #[serde(borrow, default)]
    audio: Option<ResponseAudio<'a>>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct ResponseAudio<'a> {
    #[serde(borrow, default)]
    output: Option<Output<'a>>,
}

#[derive(Deserialize)]
struct StatusDetails<'a> {
    #[serde(borrow, default)]
    reason: Text<'a>,
    #[serde(borrow, default)]
    error: Option<WireError<'a>>,
}

#[derive(Deserialize)]
struct WireError<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    code: Text<'a>,
    #[serde(borrow, default)]
    message: Text<'a>,
    #[serde(borrow, default)]
    param: Text<'a>,
    #[serde(borrow, default)]
    event_id: Text<'a>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_token_details: Option<InputTokens>,
    #[serde(default)]
    output_token_details: Option<OutputTokens>,
}

#[derive(Deserialize)]
struct InputTokens {
    #[serde(default)]
    text_tokens: Number,
    #[serde(default)]
    audio_tokens: Number,
    #[serde(default)]
    cached_tokens: Number,
    #[serde(default)]
    cached_tokens_details: Option<CachedTokens>,
}

#[derive(Deserialize)]
struct CachedTokens {
    #[serde(default)]
    text_tokens: Number,
    #[serde(default)]
    audio_tokens: Number,
}

#[derive(Deserialize)]
struct OutputTokens {
    #[serde(default)]
    text_tokens: Number,
    #[serde(default)]
    audio_tokens: Number,
}

#[derive(Deserialize)]
struct Limit<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(default)]
    limit: Number,
    #[serde(default)]
    remaining: Number,
    #[serde(default)]
    reset_seconds: Option<f64>,
}

fn rate_limit(limit: Limit<'_>) -> RateLimit {
    RateLimit {
        name: clip(limit.name.as_str().unwrap_or_default(), 32).to_owned(),
        limit: limit.limit.0.unwrap_or(0),
        remaining: limit.remaining.0.unwrap_or(0),
        reset_seconds: limit.reset_seconds.unwrap_or(0.0),
    }
}

fn model_error(error: WireError<'_>) -> ModelError {
    let keep = |text: &Text<'_>, limit| text.as_str().map(|text| clip(text, limit).to_owned());
    ModelError {
        kind: keep(&error.kind, 64).unwrap_or_default(),
        code: keep(&error.code, 64),
        message: keep(&error.message, MAX_ERROR_TEXT).unwrap_or_default(),
        param: keep(&error.param, 128),
        event_id: keep(&error.event_id, 64),
    }
}

fn response_done(response: Response<'_>, ids: &mut Interner) -> Result<ResponseDone, ReadError> {
    let output = response.output.unwrap_or_default();
    let (reason, error) = response
        .status_details
        .map_or((Text(None), None), |details| {
            (details.reason, details.error)
        });
    let status = match (response.status.as_str(), reason.as_str()) {
        (Some("completed") | None, _) => ResponseStatus::Completed,
        (Some("cancelled"), Some("turn_detected")) => ResponseStatus::Interrupted,
        (Some("cancelled"), _) => ResponseStatus::Cancelled,
        (Some("incomplete"), Some("content_filter")) => ResponseStatus::Filtered,
        (Some("incomplete"), _) => ResponseStatus::OutOfTokens,
        (Some("failed"), _) => ResponseStatus::Failed(error.map(model_error).unwrap_or_default()),
        _ => ResponseStatus::Other,
    };
    let spoken = |item: &&Item<'_>| {
        let content = item.content.as_deref().unwrap_or_default();
        content
            .iter()
            .any(|part| matches!(part.kind.as_str(), Some("output_audio" | "audio")))
    };
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut calls = Vec::new();
    for item in output.iter().take(MAX_CALLS) {
        let kind = item_kind(item);
        if matches!(kind, ItemKind::ToolCall { .. })
            && let Ok(id) = id(&item.id, ids)
        {
            calls.push(ItemDone { id, kind });
        }
    }
    let last_message = output
        .iter()
        .rfind(|item| item.kind.as_str() == Some("message"))
        .and_then(|item| id(&item.id, ids).ok());
    let tool_calls = output
        .iter()
        .filter(|item| item.kind.as_str() == Some("function_call"))
        .count();
    let after_speech = output.iter().rev().take_while(|item| !spoken(item));
    let server_calls = after_speech
        .filter(|item| {
            matches!(
                item.kind.as_str(),
                Some("mcp_call" | "mcp_approval_request")
            )
        })
        .count();
    Ok(ResponseDone {
        id: id(&response.id, ids)?,
        status,
        items: count(output.len()),
        spoken_items: count(output.iter().filter(spoken).count()),
        tool_calls: count(tool_calls),
        calls,
        last_message,
        server_calls: count(server_calls),
        usage: response.usage.map(|usage| tokens(&usage)),
    })
}

/// `cached_tokens` is a part of `input_tokens`: counted once, as cached.
fn tokens(usage: &WireUsage) -> Usage {
    let mut total = Usage::default();
    if let Some(input) = &usage.input_token_details {
        let cached = input.cached_tokens_details.as_ref();
        let cached_text = cached.and_then(|cached| cached.text_tokens.0).unwrap_or(0);
        let cached_audio = cached.and_then(|cached| cached.audio_tokens.0).unwrap_or(0);
        total.cached_in = input.cached_tokens.0.unwrap_or(cached_text + cached_audio);
        total.text_in = input.text_tokens.0.unwrap_or(0).saturating_sub(cached_text);
        total.audio_in = input
            .audio_tokens
            .0
            .unwrap_or(0)
            .saturating_sub(cached_audio);
    }
    if let Some(output) = &usage.output_token_details {
        total.text_out = output.text_tokens.0.unwrap_or(0);
        total.audio_out = output.audio_tokens.0.unwrap_or(0);
    }
    total
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;

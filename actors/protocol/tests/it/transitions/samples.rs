//! Every event there is, each with the values that make a difference.

use std::time::Duration;

use call_protocol::audio::AudioFormat;
use call_protocol::audio::payload::PayloadError;
use call_protocol::call::event::{Event, OperatorEvent, OperatorText};
use call_protocol::call::outcome::{ConsultEvent, Destination, Unreached};
use call_protocol::model::event::{
    ItemDone, ItemKind, ModelClose, ModelEvent, RateLimit, Refusal, ResponseStatus,
};
use call_protocol::phone::CallSid;
use call_protocol::phone::event::{CallerAudio, MediaFormat, PhoneEvent, StreamStart};
use call_protocol::tool::ToolResult;
use call_protocol::wire::{ReadError, SocketFault};

use crate::common::events::{
    STANDBY, agent_words, audio_done, caller_words, complaint, configured, configured_as,
    connected, delta, done_as, error, failed, foreign_stream, frame, frame_on, good_start, id, key,
    mark, mark_on, model, model_closed, opened, phone_closed, phone_vanished, refused,
    response_done, response_started, response_started_as, session, session_created, speech_started,
    speech_stopped, standby, start, start_of, stop, stream_sid, tool_call, tool_call_as,
    tool_finished, voice,
};

/// An event and what is particular about it.
pub(crate) struct Sample {
    /// The kind of event.
    pub(crate) name: &'static str,
    /// What is particular about this one.
    pub(crate) detail: &'static str,
    pub(crate) event: Event,
}

/// One arm a variant: the name of its kind, and its samples. A variant without an arm does not compile, and an arm
/// without samples does not either.
macro_rules! events {
    ($($variant:pat => $name:literal: [$($detail:literal: $event:expr),+ $(,)?],)+) => {
        /// The kind of an event.
        pub(crate) fn name_of(event: &Event) -> &'static str {
            match event {
                $($variant => $name,)+
            }
        }

        /// Every event, in the order of their kinds.
        pub(crate) fn samples() -> Vec<Sample> {
            vec![$($(Sample { name: $name, detail: $detail, event: $event },)+)+]
        }
    };
}

fn phone(event: PhoneEvent) -> Event {
    Event::Phone(event)
}

fn person(event: ConsultEvent) -> Event {
    Event::Operator(OperatorEvent::Consult(event))
}

fn leg() -> CallSid {
    CallSid::parse("CA77777777777777777777777777777777").expect("a SID")
}

fn words(text: &str) -> OperatorText {
    OperatorText::parse(text).expect("words")
}

fn started_with(change: impl FnOnce(&mut StreamStart)) -> Event {
    let mut start = good_start();
    change(&mut start);
    start_of(start)
}

fn pcm() -> MediaFormat {
    MediaFormat {
        encoding: "audio/l16".to_owned(),
        sample_rate: 16_000,
        channels: 1,
    }
}

fn stamped(timestamp_ms: u64) -> Event {
    phone(PhoneEvent::Audio(CallerAudio {
        stream: Some(stream_sid()),
        sequence: None,
        timestamp_ms: Some(timestamp_ms),
        payload: voice(1, 20),
    }))
}

fn stop_on_foreign_stream() -> Event {
    let stream = Some(foreign_stream());
    phone(PhoneEvent::Stop { stream })
}

fn key_on_foreign_stream() -> Event {
    let stream = Some(foreign_stream());
    phone(PhoneEvent::Key { stream, digit: '1' })
}

fn plain_item() -> Event {
    item_done(ItemKind::Message)
}

fn item_done(kind: ItemKind) -> Event {
    let item = ItemDone {
        id: id("item_1"),
        kind,
    };
    let response = id("resp_1");
    model(ModelEvent::ItemDone { response, item })
}

fn scarce() -> Event {
    let limit = |remaining| RateLimit {
        name: "tokens".to_owned(),
        limit: 40_000,
        remaining,
        reset_seconds: 1.5,
    };
    model(ModelEvent::RateLimits(vec![limit(30_000), limit(10_000)]))
}

fn failed_with(code: &str) -> Event {
    let message = "Rate limit reached. Please try again in 1.5s.";
    failed("resp_1", complaint(code, message, None))
}

fn error_with(code: &str, event_id: Option<&str>) -> Event {
    error(complaint(code, "No.", event_id))
}

events! {
    Event::Phone(PhoneEvent::Connected { .. }) => "connected": ["": connected()],
    Event::Phone(PhoneEvent::Start(_)) => "start": [
        "": start(),
        "without a stream": started_with(|start| start.stream = None),
        "without a call": started_with(|start| start.call = None),
        "without an account": started_with(|start| start.account = None),
        "in linear PCM": started_with(|start| start.format = pcm()),
        "naming another agent": started_with(|start| { start.parameters.insert("agent".to_owned(), "porter".to_owned()); }),
    ],
    Event::Phone(PhoneEvent::Audio(_)) => "media": [
        "": frame(1),
        "foreign stream": frame_on(Some(foreign_stream()), 1, None),
        "no stream": frame_on(None, 1, None),
        "highest sequence": frame_on(Some(stream_sid()), 1, Some(u64::MAX)),
        "highest timestamp": stamped(u64::MAX),
    ],
    Event::Phone(PhoneEvent::Key { .. }) => "dtmf": [
        "": key('5'),
        "foreign stream": key_on_foreign_stream(),
    ],
    Event::Phone(PhoneEvent::Mark { .. }) => "mark": [
        "": mark("m0-1"),
        "never sent": mark("m0-99"),
        "not ours": mark("hello"),
        "foreign stream": mark_on(Some(foreign_stream()), "m0-1"),
    ],
    Event::Phone(PhoneEvent::Stop { .. }) => "stop": [
        "": stop(),
        "no stream": phone(PhoneEvent::Stop { stream: None }),
        "foreign stream": stop_on_foreign_stream(),
    ],
    Event::Phone(PhoneEvent::Unknown { .. }) => "unknown": [
        "": phone(PhoneEvent::Unknown { event: "brand_new".to_owned() }),
    ],
    Event::Phone(PhoneEvent::Unusable(_)) => "unusable": [
        "malformed": phone(PhoneEvent::Unusable(ReadError::Malformed)),
        "bad payload": phone(PhoneEvent::Unusable(ReadError::Payload(PayloadError::NotBase64))),
    ],
    Event::Phone(PhoneEvent::Rejected(_)) => "rejected": [
        "protocol": phone(PhoneEvent::Rejected(SocketFault::Protocol)),
        "not utf-8": phone(PhoneEvent::Rejected(SocketFault::NotUtf8)),
        "too large": phone(PhoneEvent::Rejected(SocketFault::TooLarge)),
        "binary": phone(PhoneEvent::Rejected(SocketFault::Binary)),
        "flood": phone(PhoneEvent::Rejected(SocketFault::Flood)),
    ],
    Event::Phone(PhoneEvent::Closed { .. }) => "closed": [
        "": phone_closed(),
        "without a word": phone_vanished(),
    ],
    Event::Operator(OperatorEvent::HangUp) => "operator.hang_up": [
        "": Event::Operator(OperatorEvent::HangUp),
    ],
    Event::Operator(OperatorEvent::CallOver) => "operator.call_over": [
        "": Event::Operator(OperatorEvent::CallOver),
    ],
    Event::Operator(OperatorEvent::StreamFailed { .. }) => "operator.stream_failed": [
        "": Event::Operator(OperatorEvent::StreamFailed { stream: Some(stream_sid()) }),
        "no stream": Event::Operator(OperatorEvent::StreamFailed { stream: None }),
        "foreign stream": Event::Operator(OperatorEvent::StreamFailed { stream: Some(foreign_stream()) }),
    ],
    Event::Operator(OperatorEvent::HandOver) => "operator.hand_over": [
        "": Event::Operator(OperatorEvent::HandOver),
    ],
    Event::Model { session: STANDBY, .. } => "standby": [
        "opened": standby(ModelEvent::Opened),
        "refused 401": standby(ModelEvent::Refused(Refusal::Status(401))),
        "refused 503": standby(ModelEvent::Refused(Refusal::Status(503))),
        "created": standby(ModelEvent::SessionCreated(session(AudioFormat::Pcm24k))),
        "configured": standby(ModelEvent::SessionConfigured(session(AudioFormat::Mulaw))),
        "configured in PCM": standby(ModelEvent::SessionConfigured(session(AudioFormat::Pcm24k))),
        "unknown parameter": standby(ModelEvent::Error(Box::new(complaint("unknown_parameter", "No.", None)))),
        "session over": standby(ModelEvent::Error(Box::new(complaint("session_expired", "Old.", None)))),
        "wrong key": standby(ModelEvent::Error(Box::new(complaint("invalid_api_key", "No.", None)))),
        "audio": standby(ModelEvent::Audio { response: id("resp_9"), item: id("item_9"), part: 0, payload: voice(9, 20) }),
        "noted": standby(ModelEvent::Ignored),
        "unknown": standby(ModelEvent::Unknown),
        "unusable": standby(ModelEvent::Unusable(ReadError::Malformed)),
        "rejected": standby(ModelEvent::Rejected(SocketFault::TooLarge)),
        "stuck": standby(ModelEvent::Unresponsive),
        "closed": standby(ModelEvent::Closed { why: ModelClose::SessionOver, reason: String::new(), quiet: Duration::ZERO }),
    ],
    Event::Tool(_) => "tool.finished": [
        "": tool_finished(1, ToolResult::Ok, r#"{"found":true}"#),
        "never begun": tool_finished(99, ToolResult::Ok, "{}"),
    ],
    Event::Operator(OperatorEvent::Superseded) => "operator.superseded": [
        "": Event::Operator(OperatorEvent::Superseded),
    ],
    Event::Operator(OperatorEvent::SecondStream) => "operator.second_stream": [
        "": Event::Operator(OperatorEvent::SecondStream),
    ],
    Event::Operator(OperatorEvent::WokeUp) => "operator.woke_up": [
        "": Event::Operator(OperatorEvent::WokeUp),
    ],
    Event::Operator(OperatorEvent::Say(_)) => "operator.say": [
        "": Event::Operator(OperatorEvent::Say(words("We close at six."))),
    ],
    Event::Operator(OperatorEvent::Instruct(_)) => "operator.instruct": [
        "": Event::Operator(OperatorEvent::Instruct(words("The sauna is closed."))),
    ],
    Event::Operator(OperatorEvent::Transfer(_)) => "operator.transfer": [
        "to a number": Event::Operator(OperatorEvent::Transfer(Destination::Number("+15550142".to_owned()))),
        "to nobody known": Event::Operator(OperatorEvent::Transfer(Destination::Target("the moon".to_owned()))),
    ],
    Event::Operator(OperatorEvent::Consult(_)) => "operator.person": [
        "placed": person(ConsultEvent::Placed { attempt: 1, leg: leg() }),
        "answered": person(ConsultEvent::Answered { attempt: 1, leg: leg() }),
        "takes": person(ConsultEvent::Takes { attempt: 1 }),
        "gone": person(ConsultEvent::Gone { attempt: 1, why: Unreached::Busy }),
        "of another wish": person(ConsultEvent::Takes { attempt: 2 }),
    ],
    Event::Model { event: ModelEvent::Opened, .. } => "model.opened": ["": opened()],
    Event::Model { event: ModelEvent::Refused(_), .. } => "model.refused": [
        "401": refused(Refusal::Status(401)),
        "429": refused(Refusal::Status(429)),
        "429 and later": refused(Refusal::Later { status: 429, wait: Duration::from_secs(3) }),
        "429 and much later": refused(Refusal::Later { status: 429, wait: Duration::from_secs(60) }),
        "503": refused(Refusal::Status(503)),
        "timeout": refused(Refusal::Timeout),
        "network": refused(Refusal::Network),
    ],
    Event::Model { event: ModelEvent::SessionCreated(_), .. } => "model.session_created": ["": session_created()],
    Event::Model { event: ModelEvent::SessionConfigured(_), .. } => "model.configured": [
        "": configured(),
        "in PCM": configured_as(AudioFormat::Pcm24k),
        "in another format": configured_as(AudioFormat::Other),
    ],
    Event::Model { event: ModelEvent::SpeechStarted { .. }, .. } => "model.speech_started": ["": speech_started()],
    Event::Model { event: ModelEvent::SpeechStopped { .. }, .. } => "model.speech_stopped": ["": speech_stopped()],
    Event::Model { event: ModelEvent::CallerTurn { .. }, .. } => "model.caller_turn": [
        "": model(ModelEvent::CallerTurn { item: id("item_caller") }),
    ],
    Event::Model { event: ModelEvent::CallerTranscript { .. }, .. } => "model.caller_words": [
        "": caller_words("item_caller", "Hello."),
        "none": model(ModelEvent::CallerTranscript { item: id("item_caller"), text: None }),
    ],
    Event::Model { event: ModelEvent::ResponseStarted { .. }, .. } => "model.response_started": [
        "": response_started("resp_2"),
        "again": response_started("resp_1"),
        "in PCM": response_started_as("resp_2", Some(AudioFormat::Pcm24k)),
    ],
    Event::Model { event: ModelEvent::ItemStarted { .. }, .. } => "model.item_started": [
        "": model(ModelEvent::ItemStarted { response: id("resp_1"), item: id("item_2"), tool: None }),
    ],
    Event::Model { event: ModelEvent::ToolArguments { .. }, .. } => "model.tool_arguments": [
        "": model(ModelEvent::ToolArguments {
            response: id("resp_1"), item: id("item_2"), call: id("call_1"), name: Some("lookup".to_owned()),
            arguments: "{}".to_owned(), complete: true,
        }),
    ],
    Event::Model { event: ModelEvent::Audio { .. }, .. } => "model.audio": [
        "": delta("resp_1", "item_1", voice(1, 20)),
        "next item": delta("resp_1", "item_2", voice(1, 20)),
        "unknown response": delta("resp_ghost", "item_ghost", voice(1, 20)),
    ],
    Event::Model { event: ModelEvent::AudioDone { .. }, .. } => "model.audio_done": [
        "": audio_done("resp_1", "item_1"),
        "unknown response": audio_done("resp_ghost", "item_ghost"),
    ],
    Event::Model { event: ModelEvent::AgentTranscriptDelta { .. }, .. } => "model.agent_words": [
        "": agent_words("item_1", "Good day."),
    ],
    Event::Model { event: ModelEvent::AgentSaid { .. }, .. } => "model.agent_said": [
        "": model(ModelEvent::AgentSaid { item: id("item_1"), part: 0, text: "Good day.".to_owned() }),
    ],
    Event::Model { event: ModelEvent::ItemDone { .. }, .. } => "model.item_done": [
        "message": plain_item(),
        "tool call": tool_call("resp_1", "lookup", true),
        "cut tool call": tool_call("resp_1", "lookup", false),
        "call of an unknown tool": tool_call("resp_1", "no_such_tool", true),
        "tool call without arguments": tool_call_as("resp_1", "call_1", "lookup", "[1]"),
        "end of the call": tool_call("resp_1", "end_call", true),
        "transfer to nobody": tool_call("resp_1", "transfer_call", true),
        "call of the server's own": item_done(ItemKind::ServerCall { server: "weather".to_owned(), failed: false }),
        "request for approval": item_done(ItemKind::ApprovalRequest),
    ],
    Event::Model { event: ModelEvent::ResponseDone(_), .. } => "model.response_done": [
        "": response_done("resp_1"),
        "empty": done_as("resp_1", ResponseStatus::Completed, 0),
        "interrupted": done_as("resp_1", ResponseStatus::Interrupted, 1),
        "cancelled": done_as("resp_1", ResponseStatus::Cancelled, 1),
        "out of tokens": done_as("resp_1", ResponseStatus::OutOfTokens, 1),
        "filtered": done_as("resp_1", ResponseStatus::Filtered, 1),
        "rate limit": failed_with("rate_limit_exceeded"),
        "quota": failed_with("insufficient_quota"),
        "session over": failed_with("session_expired"),
        "other status": done_as("resp_1", ResponseStatus::Other, 1),
        "unknown response": response_done("resp_ghost"),
    ],
    Event::Model { event: ModelEvent::ToolsUnlisted, .. } => "model.tools_unlisted": [
        "": model(ModelEvent::ToolsUnlisted),
    ],
    Event::Model { event: ModelEvent::RateLimits(_), .. } => "model.rate_limits": [
        "": scarce(),
        "none": model(ModelEvent::RateLimits(Vec::new())),
    ],
    Event::Model { event: ModelEvent::Error(_), .. } => "model.error": [
        "of the configuration": error_with("unknown_parameter", Some("configure-1")),
        "of the least": error_with("unknown_parameter", Some("configure-1-least")),
        "of some event": error_with("invalid_value", Some("elsewhere")),
        "benign": error_with("response_cancel_not_active", None),
        "already responding": error_with("conversation_already_has_active_response", Some("respond-1")),
        "transient": error_with("server_error", None),
        "session over": error_with("session_expired", None),
        "fatal": error_with("invalid_api_key", None),
    ],
    Event::Model { event: ModelEvent::Ignored, .. } => "model.noted": ["": model(ModelEvent::Ignored)],
    Event::Model { event: ModelEvent::Unknown, .. } => "model.unknown": ["": model(ModelEvent::Unknown)],
    Event::Model { event: ModelEvent::Unusable(_), .. } => "model.unusable": [
        "": model(ModelEvent::Unusable(ReadError::Malformed)),
    ],
    Event::Model { event: ModelEvent::Rejected(_), .. } => "model.rejected": [
        "": model(ModelEvent::Rejected(SocketFault::TooLarge)),
    ],
    Event::Model { event: ModelEvent::Closed { .. }, .. } => "model.closed": [
        "1000": model_closed(Some(1_000)),
        "session over": model_closed(Some(1_001)),
        "refused": model_closed(Some(3_000)),
        "reset": model_closed(None),
    ],
    Event::Model { event: ModelEvent::Unresponsive, .. } => "model.stuck": ["": model(ModelEvent::Unresponsive)],
}

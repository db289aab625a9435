//! Events of both legs, as a test likes to write them.

use std::sync::Arc;
use std::time::Duration;

use call_protocol::audio::AudioFormat;
use call_protocol::audio::payload::Payload;
use call_protocol::call::event::{Event, OperatorEvent};
use call_protocol::call::{AgentProfile, CallSetup, Greeting};
use call_protocol::ids::ModelId;
use call_protocol::model::command::{SessionOptions, SessionSetup, TurnDetection, Voice};
use call_protocol::model::event::{
    ItemDone, ItemKind, ModelError, ModelEvent, Refusal, ResponseDone, ResponseStatus, SessionInfo,
};
use call_protocol::model::openai;
use call_protocol::model::session::SessionId;
use call_protocol::phone::event::{CallerAudio, MediaFormat, PhoneEvent, StreamStart};
use call_protocol::phone::{AccountSid, CallSid, StreamSid};
use call_protocol::tool::{ToolFinished, ToolResult, ToolRules, ToolSpec};

/// The session in use, whichever that is: the rig knows, as it knows who speaks.
pub(crate) const CURRENT: SessionId = SessionId::new(u32::MAX);

/// The session that waits to take its place. Where there is none, it is one the call never dialled.
pub(crate) const STANDBY: SessionId = SessionId::new(u32::MAX - 1);

/// Something of the session in use.
pub(crate) fn model(event: ModelEvent) -> Event {
    let session = CURRENT;
    Event::Model { session, event }
}

/// Something of the session that waits.
pub(crate) fn standby(event: ModelEvent) -> Event {
    let session = STANDBY;
    Event::Model { session, event }
}

/// The wall clock when every call of the tests begins, in milliseconds.
pub(crate) const ACCEPTED_AT_MS: u64 = 1_800_000_000_000;

/// A call set up as usual: the caller speaks first, the server interrupts.
pub(crate) fn setup() -> CallSetup {
    setup_with(Greeting::Wait, true)
}

/// A call whose agent greets with these words.
pub(crate) fn setup_greeting(instructions: &str) -> CallSetup {
    let instructions = instructions.to_owned();
    setup_with(Greeting::Model { instructions }, true)
}

/// A call with this greeting; `interrupts` says whether the caller may cut the agent's answers.
pub(crate) fn setup_with(greeting: Greeting, interrupts: bool) -> CallSetup {
    let turns = TurnDetection::Server {
        threshold: 0.5,
        prefix_padding_ms: 300,
        silence_duration_ms: 500,
        idle_timeout_ms: None,
        answer: true,
        interrupt: interrupts,
    };
    let options = SessionOptions {
        turns: Some(turns),
        transcription: None,
        noise_reduction: None,
        reasoning: None,
        max_output_tokens: None,
    };
    let session = SessionSetup {
        instructions: "Be kind.".to_owned(),
        voice: Voice::Named("marin".to_owned()),
        tools: Vec::new(),
        options: Some(options),
    };
    let agent = AgentProfile {
        greeting,
        // The simulated model says nothing by itself; where that counts, a test says so.
        answer_within: Duration::from_secs(1 << 30),
        mask_digits: false,
        tools: tool_rules(),
        ..AgentProfile::new("spa", "gpt-realtime-2.1", session)
    };
    CallSetup {
        accepted_at: Some(ACCEPTED_AT_MS),
        seed: 7,
        ..CallSetup::new(Arc::new(agent))
    }
}

/// `lookup`, which changes nothing, and `book`, which does; five seconds each.
pub(crate) fn tool_rules() -> ToolRules {
    let tool = |name: &str, effects| ToolSpec {
        name: name.to_owned(),
        description: "Does what its name says.".to_owned(),
        parameters: serde_json::json!({"type": "object", "properties": {}}),
        effects,
        timeout: Duration::from_secs(5),
    };
    ToolRules {
        offered: vec![tool("lookup", false), tool("book", true)],
        ..ToolRules::default()
    }
}

/// A run is over.
pub(crate) fn tool_finished(number: u32, result: ToolResult, output: &str) -> Event {
    let output = output.to_owned();
    Event::Tool(Box::new(ToolFinished {
        number,
        result,
        output,
    }))
}

pub(crate) fn id(text: &str) -> ModelId {
    ModelId::new(text)
}

/// `ms` milliseconds of audio, every byte of it `tag`.
pub(crate) fn voice(tag: u8, ms: u64) -> Payload {
    Payload::from_audio(&vec![tag; (ms * 8) as usize])
}

pub(crate) fn stream_sid() -> StreamSid {
    StreamSid::parse(&format!("MZ{}", "1".repeat(32))).expect("well formed")
}

pub(crate) fn foreign_stream() -> StreamSid {
    StreamSid::parse(&format!("MZ{}", "9".repeat(32))).expect("well formed")
}

pub(crate) fn call_sid() -> CallSid {
    CallSid::parse(&format!("CA{}", "2".repeat(32))).expect("well formed")
}

pub(crate) fn account_sid() -> AccountSid {
    AccountSid::parse(&format!("AC{}", "3".repeat(32))).expect("well formed")
}

pub(crate) fn foreign_call() -> CallSid {
    CallSid::parse(&format!("CA{}", "9".repeat(32))).expect("well formed")
}

// ---- the phone leg ----

pub(crate) fn connected() -> Event {
    let (protocol, version) = ("Call".to_owned(), "1.0.0".to_owned());
    Event::Phone(PhoneEvent::Connected { protocol, version })
}

/// A `start` as Twilio sends it.
pub(crate) fn good_start() -> StreamStart {
    let format = MediaFormat {
        encoding: "audio/x-mulaw".to_owned(),
        sample_rate: 8_000,
        channels: 1,
    };
    StreamStart {
        stream: Some(stream_sid()),
        account: Some(account_sid()),
        call: Some(call_sid()),
        format,
        ..StreamStart::default()
    }
}

pub(crate) fn start() -> Event {
    start_of(good_start())
}

pub(crate) fn start_of(start: StreamStart) -> Event {
    Event::Phone(PhoneEvent::Start(Box::new(start)))
}

/// 20 ms of the caller's voice.
pub(crate) fn frame(tag: u8) -> Event {
    frame_on(Some(stream_sid()), tag, None)
}

pub(crate) fn frame_on(stream: Option<StreamSid>, tag: u8, sequence: Option<u64>) -> Event {
    Event::Phone(PhoneEvent::Audio(CallerAudio {
        stream,
        sequence,
        timestamp_ms: None,
        payload: voice(tag, 20),
    }))
}

pub(crate) fn mark(name: &str) -> Event {
    mark_on(Some(stream_sid()), name)
}

pub(crate) fn mark_on(stream: Option<StreamSid>, name: &str) -> Event {
    let name = name.to_owned();
    Event::Phone(PhoneEvent::Mark { stream, name })
}

pub(crate) fn key(digit: char) -> Event {
    let stream = Some(stream_sid());
    Event::Phone(PhoneEvent::Key { stream, digit })
}

pub(crate) fn stop() -> Event {
    let stream = Some(stream_sid());
    Event::Phone(PhoneEvent::Stop { stream })
}

pub(crate) fn phone_closed() -> Event {
    Event::Phone(PhoneEvent::Closed { code: Some(1_000) })
}

/// The socket breaks, nobody said why.
pub(crate) fn phone_vanished() -> Event {
    Event::Phone(PhoneEvent::Closed { code: None })
}

pub(crate) fn hang_up() -> Event {
    Event::Operator(OperatorEvent::HangUp)
}

// ---- the model leg ----

pub(crate) fn opened() -> Event {
    model(ModelEvent::Opened)
}

pub(crate) fn refused(refusal: Refusal) -> Event {
    model(ModelEvent::Refused(refusal))
}

pub(crate) fn session(format: AudioFormat) -> SessionInfo {
    SessionInfo {
        id: Some(id("sess_1")),
        input: Some(format),
        output: Some(format),
        ..SessionInfo::default()
    }
}

pub(crate) fn session_created() -> Event {
    model(ModelEvent::SessionCreated(session(AudioFormat::Pcm24k)))
}

pub(crate) fn configured() -> Event {
    configured_as(AudioFormat::Mulaw)
}

pub(crate) fn configured_as(format: AudioFormat) -> Event {
    model(ModelEvent::SessionConfigured(session(format)))
}

pub(crate) fn speech_started() -> Event {
    let item = id("item_caller");
    model(ModelEvent::SpeechStarted { item })
}

pub(crate) fn speech_stopped() -> Event {
    let item = id("item_caller");
    model(ModelEvent::SpeechStopped { item })
}

pub(crate) fn caller_turn(item: &str) -> Event {
    let item = id(item);
    model(ModelEvent::CallerTurn { item })
}

pub(crate) fn caller_words(item: &str, text: &str) -> Event {
    let (item, text) = (id(item), Some(text.to_owned()));
    model(ModelEvent::CallerTranscript { item, text })
}

pub(crate) fn response_started(response: &str) -> Event {
    response_started_as(response, None)
}

pub(crate) fn response_started_as(response: &str, format: Option<AudioFormat>) -> Event {
    let response = id(response);
    model(ModelEvent::ResponseStarted { response, format })
}

pub(crate) fn delta(response: &str, item: &str, payload: Payload) -> Event {
    let (response, item) = (id(response), id(item));
    model(ModelEvent::Audio {
        response,
        item,
        part: 0,
        payload,
    })
}

pub(crate) fn audio_done(response: &str, item: &str) -> Event {
    let (response, item) = (id(response), id(item));
    model(ModelEvent::AudioDone {
        response,
        item,
        part: 0,
    })
}

pub(crate) fn agent_words(item: &str, text: &str) -> Event {
    let (item, text) = (id(item), text.to_owned());
    let part = 0;
    model(ModelEvent::AgentTranscriptDelta { item, part, text })
}

pub(crate) fn tool_call(response: &str, name: &str, complete: bool) -> Event {
    tool_item(response, "call_1", name, "{}", complete)
}

/// A complete tool call with these arguments.
pub(crate) fn tool_call_as(response: &str, call: &str, name: &str, arguments: &str) -> Event {
    tool_item(response, call, name, arguments, true)
}

pub(crate) fn tool_item(
    response: &str,
    call: &str,
    name: &str,
    arguments: &str,
    complete: bool,
) -> Event {
    let kind = ItemKind::ToolCall {
        call: id(call),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        complete,
    };
    let item = ItemDone {
        id: id(&format!("item_of_{call}")),
        kind,
    };
    let response = id(response);
    model(ModelEvent::ItemDone { response, item })
}

/// An answer with one spoken item is over.
pub(crate) fn response_done(response: &str) -> Event {
    done_as(response, ResponseStatus::Completed, 1)
}

pub(crate) fn done_as(response: &str, status: ResponseStatus, spoken_items: u32) -> Event {
    let done = ResponseDone {
        id: id(response),
        status,
        items: spoken_items,
        spoken_items,
        tool_calls: 0,
        calls: Vec::new(),
        last_message: None,
        server_calls: 0,
        usage: None,
        dollars: 0.0,
    };
    model(ModelEvent::ResponseDone(Box::new(done)))
}

/// An answer of one message is over, `spoken_items` of it said to carry audio.
pub(crate) fn message_done(response: &str, item: &str, spoken_items: u32) -> Event {
    let done = ResponseDone {
        id: id(response),
        status: ResponseStatus::Completed,
        items: 1,
        spoken_items,
        tool_calls: 0,
        calls: Vec::new(),
        last_message: Some(id(item)),
        server_calls: 0,
        usage: None,
        dollars: 0.0,
    };
    model(ModelEvent::ResponseDone(Box::new(done)))
}

/// An answer of tool calls alone is over.
pub(crate) fn done_with_tools(response: &str, tool_calls: u32) -> Event {
    let done = ResponseDone {
        id: id(response),
        status: ResponseStatus::Completed,
        items: tool_calls,
        spoken_items: 0,
        tool_calls,
        calls: Vec::new(),
        last_message: None,
        server_calls: 0,
        usage: None,
        dollars: 0.0,
    };
    model(ModelEvent::ResponseDone(Box::new(done)))
}

/// An answer in which the server called tools of its own is over.
pub(crate) fn done_with_server_calls(response: &str, server_calls: u32) -> Event {
    let done = ResponseDone {
        id: id(response),
        status: ResponseStatus::Completed,
        items: server_calls,
        spoken_items: 0,
        tool_calls: 0,
        calls: Vec::new(),
        last_message: None,
        server_calls,
        usage: None,
        dollars: 0.0,
    };
    model(ModelEvent::ResponseDone(Box::new(done)))
}

pub(crate) fn failed(response: &str, error: ModelError) -> Event {
    done_as(response, ResponseStatus::Failed(error), 0)
}

pub(crate) fn complaint(code: &str, message: &str, event_id: Option<&str>) -> ModelError {
    openai::errors::understood(ModelError {
        kind: "invalid_request_error".to_owned(),
        code: Some(code.to_owned()),
        message: message.to_owned(),
        param: None,
        event_id: event_id.map(ToOwned::to_owned),
        ..ModelError::default()
    })
}

pub(crate) fn error(error: ModelError) -> Event {
    model(ModelEvent::Error(Box::new(error)))
}

pub(crate) fn model_closed(code: Option<u16>) -> Event {
    model_closed_after(code, 0)
}

/// The socket is closed after the server has said nothing for so many milliseconds.
pub(crate) fn model_closed_after(code: Option<u16>, quiet_ms: u64) -> Event {
    let (reason, quiet) = (String::new(), Duration::from_millis(quiet_ms));
    model(ModelEvent::Closed {
        why: openai::errors::close_of(code),
        reason,
        quiet,
    })
}

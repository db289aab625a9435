//! Dials the model as a call would, and has it confirm the phone's audio format both ways.

use std::sync::Arc;
use std::time::Duration;

use actix_http::ws::{CloseReason, Frame, Item, Message};
use awc::Client;
use awc::error::{WsClientError, WsProtocolError};
use bytes::BytesMut;
use call_protocol::model::command::{ModelCommand, SessionSetup};
use call_protocol::model::openai;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use switchboard_actors::metrics::Metrics;

use super::Outcome;
use crate::agents::catalog;
use crate::agents::routing::session_of;
use crate::settings::{Agent, Settings};

/// A `session.created` echoes instructions and tools; awc's default of 64 KiB would skip it in silence.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// G.711 µ-law at 8 kHz, what a phone line carries.
const PHONE_FORMAT: &str = "audio/pcmu";

/// awc's socket, by what is done with it.
trait Socket:
    Stream<Item = Result<Frame, WsProtocolError>> + Sink<Message, Error = WsProtocolError> + Unpin
{
}

impl<S> Socket for S where
    S: Stream<Item = Result<Frame, WsProtocolError>>
        + Sink<Message, Error = WsProtocolError>
        + Unpin
{
}

/// Why no event came.
enum Lost {
    TimedOut,
    Closed(Option<CloseReason>),
    Broken(String),
}

/// The session opens, and takes what each agent's calls configure it with.
pub(super) async fn try_agents(
    client: &Client,
    settings: &Settings,
    (model, agents): (&str, &[&Agent]),
    patience: Duration,
) -> Vec<(String, Outcome)> {
    let opened = format!("model {model}");
    let confirmed = |agent: &Agent| match agents {
        [_] => format!("model {model} audio"),
        _ => format!("model {model} audio, agent {}", agent.name),
    };
    let unreached = |failed| {
        let skipped =
            |agent: &&Agent| (confirmed(agent), Outcome::Skipped("no session".to_owned()));
        let mut steps = vec![(opened.clone(), failed)];
        steps.extend(agents.iter().map(skipped));
        steps
    };
    let tools = match Metrics::new("check") {
        Ok(metrics) => catalog::for_show(settings, Arc::new(metrics)),
        Err(error) => return unreached(Outcome::failed(error.to_string(), "report this as a bug")),
    };
    let mut socket = match dial(client, settings, model).await {
        Ok(socket) => socket,
        Err(failed) => return unreached(failed),
    };
    let created = match wait_for(&mut socket, "session.created", patience).await {
        Ok(created) => created,
        Err(failed) => return unreached(failed),
    };
    let session = created["session"]["id"].as_str().unwrap_or("without an id");
    let mut steps = vec![(opened, Outcome::Passed(format!("session {session} opened")))];
    for agent in agents {
        let outcome = match session_of(agent, settings, &tools) {
            Ok(setup) => confirm(&mut socket, setup, patience).await,
            Err(error) => Outcome::failed(error.to_string(), "then check again"),
        };
        steps.push((confirmed(agent), outcome));
    }
    // The steps are done; a server that has gone does not change them.
    let _ = socket.send(Message::Close(None)).await;
    steps
}

async fn dial(client: &Client, settings: &Settings, model: &str) -> Result<impl Socket, Outcome> {
    let address = settings.openai.url_for(model);
    let key = settings.openai.api_key.expose_secret();
    let request = client
        .ws(address.as_str())
        .bearer_auth(key)
        .max_frame_size(MAX_FRAME_BYTES);
    match request.connect().await {
        Ok((_, socket)) => Ok(socket),
        Err(WsClientError::InvalidResponseStatus(status)) => {
            let hint = match status.as_u16() {
                401 | 403 => {
                    "check openai.api_key (OPENAI_API_KEY) and that its project may use the model"
                }
                404 => "check openai.url (OPENAI_REALTIME_URL) and the model's name",
                429 => "check the quota and the billing of the key's project",
                _ => "check openai.url (OPENAI_REALTIME_URL), or try again later",
            };
            Err(Outcome::failed(
                format!("the server answered {}", status.as_u16()),
                hint,
            ))
        }
        Err(error) => Err(Outcome::failed(
            error.to_string(),
            "check openai.url (OPENAI_REALTIME_URL), DNS and the network",
        )),
    }
}

async fn confirm(socket: &mut impl Socket, setup: SessionSetup, patience: Duration) -> Outcome {
    // What the agent's calls send: instructions, voice, turn detection, transcription, tools and all.
    let configure = ModelCommand::Configure {
        request: "check_update".to_owned(),
        setup: Box::new(setup),
    };
    let mut update = BytesMut::new();
    openai::write(&mut update, &configure);
    // JSON is text.
    let update = String::from_utf8_lossy(&update).into_owned();
    if let Err(error) = socket.send(Message::Text(update.into())).await {
        return Outcome::failed(error.to_string(), "try again");
    }
    let updated = match wait_for(socket, "session.updated", patience).await {
        Ok(updated) => updated,
        Err(failed) => return failed,
    };
    let audio = &updated["session"]["audio"];
    let format = |side: &str| {
        audio[side]["format"]["type"]
            .as_str()
            .unwrap_or("nothing")
            .to_owned()
    };
    let (input, output) = (format("input"), format("output"));
    if input == PHONE_FORMAT && output == PHONE_FORMAT {
        return Outcome::Passed("µ-law both ways".to_owned());
    }
    Outcome::failed(
        format!("the server set {input} in and {output} out instead of {PHONE_FORMAT}"),
        "check that openai.url (OPENAI_REALTIME_URL) speaks the current Realtime API",
    )
}

/// The next event of a kind; everything else but an error is passed over.
async fn wait_for(
    socket: &mut impl Socket,
    kind: &str,
    patience: Duration,
) -> Result<Value, Outcome> {
    let awaited = tokio::time::timeout(patience, async {
        loop {
            let event = next_event(socket).await?;
            match event["type"].as_str() {
                Some(found) if found == kind => return Ok(Ok(event)),
                Some("error") => return Ok(Err(refused(&event["error"]))),
                _ => {}
            }
        }
    });
    match awaited.await.unwrap_or(Err(Lost::TimedOut)) {
        Ok(answer) => answer,
        Err(lost) => Err(lost_outcome(lost, kind, patience)),
    }
}

async fn next_event(socket: &mut impl Socket) -> Result<Value, Lost> {
    let mut fragments = BytesMut::new();
    loop {
        let frame = match socket.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(Lost::Broken(error.to_string())),
            None => return Err(Lost::Closed(None)),
        };
        let whole = match frame {
            Frame::Text(text) => text,
            Frame::Continuation(Item::FirstText(part) | Item::Continue(part)) => {
                append(&mut fragments, &part)?;
                continue;
            }
            Frame::Continuation(Item::Last(part)) => {
                append(&mut fragments, &part)?;
                fragments.split().freeze()
            }
            Frame::Ping(payload) => {
                let sent = socket.send(Message::Pong(payload)).await;
                sent.map_err(|error| Lost::Broken(error.to_string()))?;
                continue;
            }
            Frame::Close(reason) => return Err(Lost::Closed(reason)),
            Frame::Pong(_) => continue,
            Frame::Binary(_) | Frame::Continuation(Item::FirstBinary(_)) => {
                return Err(Lost::Broken("a binary message came".to_owned()));
            }
        };
        return serde_json::from_slice(&whole)
            .map_err(|error| Lost::Broken(format!("a message is not JSON ({error})")));
    }
}

fn append(fragments: &mut BytesMut, part: &[u8]) -> Result<(), Lost> {
    if fragments.len() + part.len() > MAX_FRAME_BYTES {
        return Err(Lost::Broken("a message is endless".to_owned()));
    }
    fragments.extend_from_slice(part);
    Ok(())
}

fn refused(error: &Value) -> Outcome {
    let code = error["code"]
        .as_str()
        .or(error["type"].as_str())
        .unwrap_or("error");
    let message = error["message"].as_str().unwrap_or("without a message");
    Outcome::failed(
        format!("the server refused: {code}: {message}"),
        mend_for(code),
    )
}

fn lost_outcome(lost: Lost, kind: &str, patience: Duration) -> Outcome {
    match lost {
        Lost::TimedOut => Outcome::failed(
            format!("no {kind} within {} s", patience.as_secs_f32()),
            "check that openai.url (OPENAI_REALTIME_URL) is a Realtime server",
        ),
        Lost::Broken(cause) => Outcome::failed(
            cause,
            "check openai.url (OPENAI_REALTIME_URL) and proxies on the way",
        ),
        Lost::Closed(None) => Outcome::failed(
            format!("the server closed before {kind}"),
            "check openai.url (OPENAI_REALTIME_URL)",
        ),
        Lost::Closed(Some(reason)) => {
            let words = reason.description.unwrap_or_default();
            let code = u16::from(reason.code);
            Outcome::failed(
                format!("the server closed with {code} {words}"),
                mend_for(&words),
            )
        }
    }
}

/// Codes come as `invalid_api_key` in events and as `invalid_request_error.invalid_api_key` in close reasons.
fn mend_for(code: &str) -> &'static str {
    let has = |part: &str| code.contains(part);
    if has("api_key") || has("authentication") || has("account_deactivated") {
        "check openai.api_key (OPENAI_API_KEY)"
    } else if has("quota") || has("billing") || has("rate_limit") {
        "check the quota and the billing of the key's project"
    } else if has("model") {
        "check openai.model (OPENAI_REALTIME_MODEL) and the agents' model.name"
    } else {
        "check the agent's voice, turn detection, transcription, tools and model options"
    }
}

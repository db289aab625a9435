//! What Twilio sends: a message of its media stream becomes a [`PhoneEvent`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{AccountSid, CallSid, MAX_MESSAGE, StreamSid};
use crate::audio::payload::Payload;
use crate::ids::clip;
use crate::phone::event::{CallerAudio, MediaFormat, PhoneEvent, StreamStart};
use crate::wire::json::{Number, Text};
use crate::wire::{ReadError, json};

/// Custom parameters kept of a `start`; the REST API takes at most 99, our own TwiML uses three.
const MAX_PARAMETERS: usize = 32;

/// Characters kept of a parameter; Twilio's limit for name and value together.
const MAX_PARAMETER: usize = 500;

/// Characters kept of a free text that only goes to the log.
const MAX_WORD: usize = 64;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    event: Text<'a>,
    #[serde(borrow, default, rename = "streamSid")]
    stream: Text<'a>,
    #[serde(default, rename = "sequenceNumber")]
    sequence: Number,
    #[serde(borrow, default)]
    media: Option<Media<'a>>,
    #[serde(borrow, default)]
    start: Option<Start<'a>>,
    #[serde(borrow, default)]
    dtmf: Option<Dtmf<'a>>,
    #[serde(borrow, default)]
    mark: Option<Mark<'a>>,
    #[serde(borrow, default)]
    protocol: Text<'a>,
    #[serde(borrow, default)]
    version: Text<'a>,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow, default)]
    track: Text<'a>,
    #[serde(default)]
    timestamp: Number,
    #[serde(borrow, default)]
    payload: Text<'a>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow, default, rename = "accountSid")]
    account: Text<'a>,
    #[serde(borrow, default, rename = "streamSid")]
    stream: Text<'a>,
    #[serde(borrow, default, rename = "callSid")]
    call: Text<'a>,
    #[serde(borrow, default, rename = "mediaFormat")]
    format: Option<Format<'a>>,
    #[serde(default, rename = "customParameters")]
    parameters: Parameters,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow, default)]
    encoding: Text<'a>,
    #[serde(default, rename = "sampleRate")]
    rate: Number,
    #[serde(default)]
    channels: Number,
}

#[derive(Deserialize)]
struct Dtmf<'a> {
    #[serde(borrow, default)]
    digit: Text<'a>,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
}

/// Custom parameters, capped while they are read: a thousand of them cost no memory.
#[derive(Default)]
struct Parameters {
    kept: BTreeMap<String, String>,
    refused: u32,
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParametersVisitor;
        impl<'de> Visitor<'de> for ParametersVisitor {
            type Value = Parameters;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_unit<E>(self) -> Result<Parameters, E> {
                Ok(Parameters::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
                let mut parameters = Parameters::default();
                while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    parameters.take(&name, &value);
                }
                Ok(parameters)
            }
        }
        deserializer.deserialize_any(ParametersVisitor)
    }
}

impl Parameters {
    fn take(&mut self, name: &Text<'_>, value: &Text<'_>) {
        let (Some(name), Some(value)) = (name.as_str(), value.as_str()) else {
            self.refused += 1;
            return;
        };
        let length = name.chars().count() + value.chars().count();
        let printable = !name.chars().chain(value.chars()).any(char::is_control);
        let room = self.kept.len() < MAX_PARAMETERS && !self.kept.contains_key(name);
        if room && printable && length <= MAX_PARAMETER {
            self.kept.insert(name.to_owned(), value.to_owned());
        } else {
            self.refused += 1;
        }
    }
}

/// Reads one text message from Twilio. Audio stays in the buffer it came in.
///
/// # Errors
/// [`ReadError`] when the message cannot be used; the stream goes on, the caller counts.
pub fn read(message: &Bytes) -> Result<PhoneEvent, ReadError> {
    let text = std::str::from_utf8(message).map_err(|_| ReadError::Malformed)?;
    let envelope: Envelope<'_> = json::object(text).ok_or(ReadError::Malformed)?;
    let stream = envelope.stream.as_str().and_then(StreamSid::parse);
    let Some(event) = envelope.event.as_str() else {
        return Err(ReadError::Incomplete);
    };
    match event {
        "media" => {
            let media = envelope.media.ok_or(ReadError::Incomplete)?;
            // Somebody else's voice; a bidirectional stream never carries it.
            let track = media.track.as_str();
            if track.is_some_and(|track| track.starts_with("outbound")) {
                return Ok(PhoneEvent::Unknown {
                    event: "media outbound".to_owned(),
                });
            }
            Ok(PhoneEvent::Audio(CallerAudio {
                stream,
                sequence: envelope.sequence.0,
                timestamp_ms: media.timestamp.0,
                payload: payload_of(message, media.payload.0)?,
            }))
        }
        "mark" => {
            let mark = envelope.mark.ok_or(ReadError::Incomplete)?;
            let name = mark.name.as_str().ok_or(ReadError::Incomplete)?;
            Ok(PhoneEvent::Mark {
                stream,
                name: clip(name, MAX_WORD).to_owned(),
            })
        }
        "dtmf" => {
            let dtmf = envelope.dtmf.ok_or(ReadError::Incomplete)?;
            let mut characters = dtmf.digit.as_str().unwrap_or_default().chars();
            match (characters.next(), characters.next()) {
                (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => {
                    Ok(PhoneEvent::Key { stream, digit })
                }
                _ => Err(ReadError::Incomplete),
            }
        }
        "connected" => Ok(PhoneEvent::Connected {
            protocol: clip(envelope.protocol.as_str().unwrap_or_default(), MAX_WORD).to_owned(),
            version: clip(envelope.version.as_str().unwrap_or_default(), MAX_WORD).to_owned(),
        }),
        "start" => {
            let start = envelope.start.ok_or(ReadError::Incomplete)?;
            Ok(PhoneEvent::Start(Box::new(stream_start(
                start,
                &envelope.stream,
            ))))
        }
        "stop" => Ok(PhoneEvent::Stop { stream }),
        other => Ok(PhoneEvent::Unknown {
            event: clip(other, MAX_WORD).to_owned(),
        }),
    }
}

fn payload_of(message: &Bytes, text: Option<Cow<'_, str>>) -> Result<Payload, ReadError> {
    let text = match text.ok_or(ReadError::Incomplete)? {
        Cow::Borrowed(text) => message.slice_ref(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    Ok(Payload::from_base64(text, MAX_MESSAGE)?)
}

fn stream_start(start: Start<'_>, outer_stream: &Text<'_>) -> StreamStart {
    let format = start
        .format
        .map_or_else(MediaFormat::default, |format| MediaFormat {
            encoding: clip(format.encoding.as_str().unwrap_or_default(), MAX_WORD).to_owned(),
            sample_rate: format.rate.0.unwrap_or_default(),
            channels: format.channels.0.unwrap_or_default(),
        });
    // The SID stands twice in the message; where they differ the message contradicts itself and names no stream.
    let inner = start.stream.as_str().and_then(StreamSid::parse);
    let stream = match outer_stream.as_str() {
        None => inner,
        Some(outer) if start.stream.as_str().is_none_or(|inner| inner == outer) => {
            StreamSid::parse(outer)
        }
        Some(_) => None,
    };
    StreamStart {
        stream,
        account: start.account.as_str().and_then(AccountSid::parse),
        call: start.call.as_str().and_then(CallSid::parse),
        format,
        parameters: start.parameters.kept,
        refused_parameters: start.parameters.refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::payload::PayloadError;
    use serde_json::{Value, json};

    const STREAM: &str = "MZ0123456789abcdef0123456789abcdef";

    fn read_json(value: &Value) -> Result<PhoneEvent, ReadError> {
        read(&Bytes::from(value.to_string()))
    }

    fn stream() -> StreamSid {
        StreamSid::parse(STREAM).unwrap()
    }

    #[test]
    fn a_media_frame_keeps_its_payload_unopened() {
        let json = json!({"event":"media","sequenceNumber":"4","streamSid":STREAM,
            "media":{"track":"inbound","chunk":"2","timestamp":"175","payload":"f39/fw=="}});
        let text = Bytes::from(json.to_string());
        let Ok(PhoneEvent::Audio(audio)) = read(&text) else {
            panic!("not audio")
        };
        assert_eq!(audio.timestamp_ms, Some(175));
        assert_eq!(audio.sequence, Some(4));
        assert_eq!(audio.stream, Some(stream()));
        assert_eq!(audio.payload.audio_bytes(), 4);
        let inside = text
            .as_ptr_range()
            .contains(&audio.payload.as_base64().as_ptr());
        assert!(inside, "the payload was copied");
    }

    #[test]
    fn a_payload_with_escaped_slashes_is_taken() {
        let text = format!(
            r#"{{"event":"media","streamSid":"{STREAM}","media":{{"payload":"\/\/\/\/"}}}}"#
        );
        let Ok(PhoneEvent::Audio(audio)) = read(&Bytes::from(text)) else {
            panic!("not audio")
        };
        assert_eq!(audio.payload.as_base64(), b"////");
    }

    #[test]
    fn a_start_carries_all_that_the_call_needs() {
        let event = read_json(
            &json!({"event":"start","sequenceNumber":"1","streamSid":STREAM,"start":{
            "accountSid":"AC0123456789abcdef0123456789abcdef","streamSid":STREAM,
            "callSid":"CA0123456789abcdef0123456789abcdef","tracks":["inbound"],
            "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":"1"},
            "customParameters":{"agent":"spa","n":5}}}),
        )
        .unwrap();
        let PhoneEvent::Start(start) = event else {
            panic!("not a start")
        };
        assert_eq!(start.stream, Some(stream()));
        assert!(start.format.is_supported());
        assert_eq!(
            start.parameters.get("agent").map(String::as_str),
            Some("spa")
        );
        assert_eq!(start.refused_parameters, 1, "a parameter that is no string");
    }

    #[test]
    fn a_start_that_names_two_streams_names_none() {
        let event = read_json(&json!({"event":"start","streamSid":STREAM,
            "start":{"streamSid":"MZ00000000000000000000000000000000"}}))
        .unwrap();
        let PhoneEvent::Start(start) = event else {
            panic!("not a start")
        };
        assert_eq!(start.stream, None);
    }

    #[test]
    fn custom_parameters_are_capped() {
        let mut many = serde_json::Map::new();
        for n in 0..1_000 {
            many.insert(format!("name{n}"), Value::from("v"));
        }
        many.insert("a".to_owned(), Value::from("x".repeat(10_000)));
        many.insert("b".to_owned(), Value::from("line\nbreak"));
        let event = read_json(&json!({"event":"start","start":{"customParameters":many}})).unwrap();
        let PhoneEvent::Start(start) = event else {
            panic!("not a start")
        };
        assert_eq!(start.parameters.len(), MAX_PARAMETERS);
        assert_eq!(start.refused_parameters, 1_002 - 32);
        assert!(!start.parameters.contains_key("a") && !start.parameters.contains_key("b"));
    }

    #[test]
    fn what_cannot_be_used_is_an_error_value() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        for (text, expected) in [
            ("", ReadError::Malformed),
            ("nonsense", ReadError::Malformed),
            ("[]", ReadError::Malformed),
            ("{}", ReadError::Incomplete),
            (r#"{"event":5}"#, ReadError::Incomplete),
            (r#"{"event":"media"}"#, ReadError::Incomplete),
            (r#"{"event":"media","media":5}"#, ReadError::Malformed),
            (
                r#"{"event":"media","media":{"payload":"\ud800"}}"#,
                ReadError::Malformed,
            ),
            (
                r#"{"event":"media","media":{"payload":null}}"#,
                ReadError::Incomplete,
            ),
            (
                r#"{"event":"media","media":{"payload":""}}"#,
                ReadError::Payload(PayloadError::Empty),
            ),
            (
                r#"{"event":"media","media":{"payload":"%%%%"}}"#,
                ReadError::Payload(PayloadError::NotBase64),
            ),
            (
                r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#,
                ReadError::Incomplete,
            ),
            (r#"{"event":"mark","mark":{}}"#, ReadError::Incomplete),
            (deep.as_str(), ReadError::Malformed),
        ] {
            assert_eq!(
                read(&Bytes::copy_from_slice(text.as_bytes())).err(),
                Some(expected),
                "{text:.60}"
            );
        }
    }

    #[test]
    fn unknown_events_and_fields_are_tolerated() {
        let event = read_json(&json!({"event":"brand_new","streamSid":STREAM,"x":{"y":[1,2]}}));
        assert!(matches!(event, Ok(PhoneEvent::Unknown { event }) if event == "brand_new"));
        let event =
            read_json(&json!({"event":"connected","protocol":"Call","version":"9","extra":null}));
        assert!(matches!(event, Ok(PhoneEvent::Connected { .. })));
    }

    #[test]
    fn audio_stays_in_the_buffer_it_came_in() {
        let frame = format!(
            r#"{{"event":"media","sequenceNumber":"4","media":{{"track":"inbound","chunk":"2","timestamp":"175","payload":"f39/fw=="}},"streamSid":"{STREAM}"}}"#
        );
        let message = Bytes::from(frame);
        let Ok(PhoneEvent::Audio(audio)) = read(&message) else {
            panic!("a frame was expected");
        };
        assert_eq!(audio.payload.as_base64(), b"f39/fw==");
        let kept = audio.payload.as_base64().as_ptr();
        assert!(message.as_ptr_range().contains(&kept));
    }
}

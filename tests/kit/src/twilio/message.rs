//! The messages of a media stream, both ways.
//!
//! Source: <https://www.twilio.com/docs/voice/media-streams/websocket-messages>.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

/// Characters of an offending message kept in a warning.
const QUOTED_CHARS: usize = 300;

pub(crate) const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;

/// Builds what Twilio sends on one stream and counts it: one sequence over all types from `start` on, one over media.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) stream_sid: String,
    sequence: u64,
    chunk: u64,
}

/// What `start` says beside the stream SID.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) account_sid: &'a str,
    pub(crate) call_sid: &'a str,
    pub(crate) parameters: &'a [(String, String)],
    pub(crate) encoding: &'a str,
    pub(crate) sample_rate: u32,
}

impl Envelope {
    pub(crate) const fn new(stream_sid: String) -> Self {
        Self {
            stream_sid,
            sequence: 0,
            chunk: 0,
        }
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Leaves out sequence numbers, as if messages had been lost.
    pub(crate) const fn skip(&mut self, count: u64) {
        self.sequence += count;
    }

    pub(crate) fn start(&mut self, start: &Start<'_>) -> String {
        let mut parameters = serde_json::Map::new();
        for (name, value) in start.parameters {
            parameters.insert(name.clone(), value.as_str().into());
        }
        json!({
            "event": "start",
            "sequenceNumber": self.next_sequence().to_string(),
            "start": {
                "accountSid": start.account_sid,
                "streamSid": self.stream_sid,
                "callSid": start.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {
                    "encoding": start.encoding,
                    "sampleRate": start.sample_rate,
                    "channels": 1,
                },
                "customParameters": parameters,
            },
            "streamSid": self.stream_sid,
        })
        .to_string()
    }

    /// Built by hand: there are fifty a second and call.
    pub(crate) fn media(&mut self, timestamp_ms: u64, audio: &[u8]) -> String {
        let mut text = self.media_head(timestamp_ms, audio.len() * 4 / 3 + 4);
        STANDARD.encode_string(audio, &mut text);
        self.media_tail(&mut text);
        text
    }

    /// A media message whose payload is this text, base64 or not.
    pub(crate) fn media_with_payload(&mut self, timestamp_ms: u64, payload: &str) -> String {
        let mut text = self.media_head(timestamp_ms, payload.len());
        text.push_str(payload);
        self.media_tail(&mut text);
        text
    }

    fn media_head(&mut self, timestamp_ms: u64, payload_length: usize) -> String {
        self.chunk += 1;
        let (sequence, chunk) = (self.next_sequence(), self.chunk);
        let mut text = String::with_capacity(220 + payload_length);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            r#"{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp_ms}","payload":""#
        );
        text
    }

    fn media_tail(&self, text: &mut String) {
        text.push_str(r#""},"streamSid":""#);
        text.push_str(&self.stream_sid);
        text.push_str(r#""}"#);
    }

    pub(crate) fn dtmf(&mut self, digit: char) -> String {
        json!({
            "event": "dtmf",
            "streamSid": self.stream_sid,
            "sequenceNumber": self.next_sequence().to_string(),
            "dtmf": {"track": "inbound_track", "digit": digit.to_string()},
        })
        .to_string()
    }

    pub(crate) fn mark(&mut self, name: &str) -> String {
        json!({
            "event": "mark",
            "sequenceNumber": self.next_sequence().to_string(),
            "streamSid": self.stream_sid,
            "mark": {"name": name},
        })
        .to_string()
    }

    pub(crate) fn stop(&mut self, account_sid: &str, call_sid: &str) -> String {
        json!({
            "event": "stop",
            "sequenceNumber": self.next_sequence().to_string(),
            "streamSid": self.stream_sid,
            "stop": {"accountSid": account_sid, "callSid": call_sid},
        })
        .to_string()
    }
}

/// What the service may send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// Base64 of µ-law.
    Media(Cow<'a, str>),
    Mark(Cow<'a, str>),
    Clear,
}

/// Borrows from the message unless it has escapes; `Option<Cow>` alone would always copy.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Media<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// Reads one text message as strictly as Twilio does; the error is the text of a warning 31951.
pub(crate) fn parse<'a>(text: &'a str, stream_sid: &str) -> Result<Incoming<'a>, String> {
    let complain = |what: &str| Err(format!("{what}: {}", quote(text)));
    let wire: Wire<'a> = match serde_json::from_str(text) {
        Ok(wire) => wire,
        Err(error) => return complain(&error.to_string()),
    };
    match &wire.stream_sid {
        None => return complain("streamSid is missing"),
        Some(sid) if sid.0 != stream_sid => return complain("streamSid is of another stream"),
        Some(_) => {}
    }
    match (&*wire.event, wire.media, wire.mark) {
        ("media", Some(media), None) => Ok(Incoming::Media(media.payload)),
        ("mark", None, Some(mark)) => Ok(Incoming::Mark(mark.name)),
        ("clear", None, None) => Ok(Incoming::Clear),
        ("media" | "mark" | "clear", _, _) => complain("a field is missing or too many"),
        _ => complain("unknown event"),
    }
}

/// Decodes a media payload into `audio`, replacing what is in it.
pub(crate) fn decode_payload(payload: &str, audio: &mut Vec<u8>) -> Result<(), String> {
    audio.clear();
    STANDARD
        .decode_vec(payload, audio)
        .map_err(|error| format!("payload is not base64 ({error}): {}", quote(payload)))
}

/// The beginning of a text, for a warning.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sequence_counts_all_types_and_chunk_counts_media() {
        let mut envelope = Envelope::new("MZ1".to_owned());
        let start = Start {
            account_sid: "AC1",
            call_sid: "CA1",
            parameters: &[("token".to_owned(), "a\"b".to_owned())],
            encoding: "audio/x-mulaw",
            sample_rate: 8_000,
        };
        let messages = [
            envelope.start(&start),
            envelope.media(57, &[0xFF; 160]),
            envelope.dtmf('1'),
            envelope.mark("r1"),
            envelope.media(77, &[0xFF; 160]),
            envelope.stop("AC1", "CA1"),
        ];
        let parsed: Vec<serde_json::Value> = messages
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        for (index, message) in parsed.iter().enumerate() {
            assert_eq!(message["sequenceNumber"], (index + 1).to_string());
            assert_eq!(message["streamSid"], "MZ1");
        }
        assert_eq!(parsed[0]["start"]["customParameters"]["token"], "a\"b");
        assert_eq!(parsed[0]["start"]["mediaFormat"]["sampleRate"], 8_000);
        assert_eq!(parsed[1]["media"]["chunk"], "1");
        assert_eq!(parsed[1]["media"]["timestamp"], "57");
        assert_eq!(
            parsed[1]["media"]["payload"].as_str().unwrap(),
            STANDARD.encode([0xFF; 160])
        );
        assert_eq!(parsed[2]["dtmf"]["track"], "inbound_track");
        assert_eq!(parsed[4]["media"]["chunk"], "2");
    }

    #[test]
    fn the_three_messages_of_the_service_are_understood() {
        let media = r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#;
        assert_eq!(
            parse(media, "MZ1"),
            Ok(Incoming::Media(Cow::Borrowed("//8=")))
        );
        let mark = r#"{"streamSid":"MZ1","mark":{"name":"r1:2"},"event":"mark"}"#;
        assert_eq!(
            parse(mark, "MZ1"),
            Ok(Incoming::Mark(Cow::Borrowed("r1:2")))
        );
        let clear = r#"{"event":"clear","streamSid":"MZ1"}"#;
        assert_eq!(parse(clear, "MZ1"), Ok(Incoming::Clear));
    }

    #[test]
    fn a_payload_without_escapes_is_borrowed() {
        let media = r#"{"event":"media","streamSid":"MZ1","media":{"payload":"AAAA"}}"#;
        assert!(matches!(
            parse(media, "MZ1"),
            Ok(Incoming::Media(Cow::Borrowed(_)))
        ));
        let escaped = r#"{"event":"media","streamSid":"MZ1","media":{"payload":"\/\/8="}}"#;
        assert_eq!(
            parse(escaped, "MZ1"),
            Ok(Incoming::Media(Cow::Owned("//8=".to_owned())))
        );
    }

    #[test]
    fn every_violation_is_refused_with_the_offending_text() {
        let violations = [
            "hello",
            "[]",
            "{}",
            r#"{"event":"clear"}"#,
            r#"{"event":"clear","stream_sid":"MZ1"}"#,
            r#"{"event":"clear","streamSid":"MZ2"}"#,
            r#"{"event":"clear","streamSid":"MZ1","extra":1}"#,
            r#"{"event":"clear","streamSid":"MZ1","mark":{"name":"x"}}"#,
            r#"{"event":"media","streamSid":"MZ1"}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{}}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"AA==","track":"outbound"}}"#,
            r#"{"event":"mark","streamSid":"MZ1","mark":{"name":7}}"#,
            r#"{"event":"stop","streamSid":"MZ1"}"#,
            r#"{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"1"}}"#,
        ];
        for text in violations {
            let complaint = parse(text, "MZ1").unwrap_err();
            assert!(complaint.ends_with(text), "{complaint}");
        }
    }

    #[test]
    fn payloads_that_are_not_strict_base64_are_refused() {
        let mut audio = Vec::new();
        assert_eq!(decode_payload("//8=", &mut audio), Ok(()));
        assert_eq!(audio, [0xFF, 0xFF]);
        for payload in ["//8", "//8=\n", "_-8=", "a", "!!!!"] {
            assert!(decode_payload(payload, &mut audio).is_err(), "{payload:?}");
        }
    }
}

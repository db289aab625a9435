//! The TwiML documents we answer with (twilio.com/docs/voice/twiml).

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use switchboard_base::number::PhoneNumber;

/// Content type of every document.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";
/// Twilio refuses longer documents (error 11750).
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// Name and value of a stream parameter together (twilio.com/docs/voice/twiml/stream).
pub const MAX_PARAMETER_CHARS: usize = 499;
/// The longest text of a `<Say>` (twilio.com/docs/voice/twiml/say).
pub const MAX_SAY_CHARS: usize = 4_096;

/// Seconds in which somebody who has heard a question presses a key.
const GATHER_SECONDS: u8 = 8;

/// Why a document cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TwimlError {
    /// Name and value are over [`MAX_PARAMETER_CHARS`].
    #[error(
        "stream parameter {name} is longer than {MAX_PARAMETER_CHARS} characters with its name"
    )]
    ParameterTooLong {
        /// The parameter.
        name: String,
    },
    /// A stream URL is a WebSocket address without a query, which Twilio would strip.
    #[error("stream URL is not a plain ws:// or wss:// address")]
    StreamUrl,
    /// Over [`MAX_SAY_CHARS`].
    #[error("spoken text is longer than {MAX_SAY_CHARS} characters")]
    SayTooLong,
    /// Over [`MAX_DOCUMENT_BYTES`].
    #[error("document is larger than {MAX_DOCUMENT_BYTES} bytes")]
    DocumentTooLarge,
    /// The XML writer failed.
    #[error("document cannot be written: {0}")]
    Write(String),
}

/// One verb of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Connects the call to a media stream; what follows it runs when the stream ends and no action is set.
    Connect(Connect),
    /// Speaks a text.
    Say {
        /// The words.
        text: String,
        /// A language tag such as `en-US`; `None`: the account's.
        language: Option<String>,
    },
    /// Calls somebody and connects the two.
    Dial {
        /// Whom.
        number: PhoneNumber,
        /// The number they see; `None`: the caller's.
        caller_id: Option<String>,
        /// Asked for TwiML when the dialled call ends.
        action: Option<String>,
        /// Asked for TwiML that the person who answers hears before the two are connected.
        screen: Option<String>,
        /// Whether a caller who was not answered yet hears it ring until somebody picks up.
        answer_on_bridge: bool,
        /// Seconds to let it ring; `None`: Twilio's 30.
        timeout_seconds: Option<u16>,
    },
    /// Meets somebody in a room that lives as long as both are in it.
    Meet {
        room: String,
        /// Asked for TwiML when it is over.
        action: Option<String>,
    },
    /// Speaks a text and waits for one key.
    Gather {
        /// The words.
        text: String,
        /// As of `Say`.
        language: Option<String>,
        /// Told which key it was.
        action: String,
    },
    /// Goes on with the document at an address.
    Redirect {
        /// The address.
        url: String,
    },
    /// Waits.
    Pause {
        /// So many seconds.
        seconds: u16,
    },
    /// Ends the call.
    Hangup,
    /// Refuses the call before it is answered, at no cost.
    Reject(RejectReason),
}

/// What a refused caller hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// A busy signal.
    Busy,
    /// "Not in service".
    Rejected,
}

/// `<Connect><Stream>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Asked for TwiML when the stream ends.
    pub action: String,
    /// The media socket's address.
    pub stream_url: String,
    /// Told when the stream starts, stops or fails.
    pub status_callback: Option<String>,
    /// Arrive as `start.customParameters`.
    pub parameters: Vec<(String, String)>,
}

/// A document, its verbs in the order they run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    verbs: Vec<Verb>,
}

impl Response {
    /// An empty document; by itself it ends the call.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a verb.
    #[must_use]
    pub fn verb(mut self, verb: Verb) -> Self {
        self.verbs.push(verb);
        self
    }

    /// Adds `<Connect><Stream>`.
    #[must_use]
    pub fn connect(self, connect: Connect) -> Self {
        self.verb(Verb::Connect(connect))
    }

    /// Adds a spoken text, in a language such as `en-US` or else the account's.
    #[must_use]
    pub fn say(self, text: &str, language: Option<&str>) -> Self {
        self.verb(Verb::Say {
            text: text.to_owned(),
            language: language.map(str::to_owned),
        })
    }

    /// Adds a call to a number; `caller_id` is what they see, `action` is asked afterwards.
    #[must_use]
    pub fn dial(self, number: &PhoneNumber, caller_id: Option<&str>, action: Option<&str>) -> Self {
        self.verb(Verb::Dial {
            number: number.clone(),
            caller_id: caller_id.map(str::to_owned),
            action: action.map(str::to_owned),
            screen: None,
            answer_on_bridge: false,
            timeout_seconds: None,
        })
    }

    /// Adds a call to somebody who may not answer: `action` is told what came of it after so many seconds of ringing.
    #[must_use]
    pub fn transfer(
        self,
        number: &PhoneNumber,
        action: String,
        ring_seconds: u16,
        screen: Option<String>,
    ) -> Self {
        self.verb(Verb::Dial {
            number: number.clone(),
            caller_id: None,
            action: Some(action),
            screen,
            answer_on_bridge: true,
            timeout_seconds: Some(ring_seconds),
        })
    }

    /// Adds a meeting with somebody who comes, or has come, there by themselves; `action` is asked when it is over.
    #[must_use]
    pub fn meet(self, room: String, action: Option<String>) -> Self {
        self.verb(Verb::Meet { room, action })
    }

    /// Adds a text after, or during, which one key is waited for; `action` is told which. Without a key the next verb
    /// runs.
    #[must_use]
    pub fn ask_for_key(self, text: &str, language: Option<&str>, action: String) -> Self {
        self.verb(Verb::Gather {
            text: text.to_owned(),
            language: language.map(str::to_owned),
            action,
        })
    }

    /// Adds a jump to another document.
    #[must_use]
    pub fn redirect(self, url: &str) -> Self {
        self.verb(Verb::Redirect {
            url: url.to_owned(),
        })
    }

    /// Adds a silence.
    #[must_use]
    pub fn pause(self, seconds: u16) -> Self {
        self.verb(Verb::Pause { seconds })
    }

    /// Adds the end of the call.
    #[must_use]
    pub fn hangup(self) -> Self {
        self.verb(Verb::Hangup)
    }

    /// Adds a refusal with a busy signal.
    #[must_use]
    pub fn busy(self) -> Self {
        self.verb(Verb::Reject(RejectReason::Busy))
    }

    /// The document as XML. Text is escaped; characters XML cannot carry are left out.
    ///
    /// # Errors
    /// When Twilio would refuse the document.
    pub fn to_xml(&self) -> Result<String, TwimlError> {
        for verb in &self.verbs {
            check(verb)?;
        }
        let mut writer = Writer::new(Vec::new());
        self.write(&mut writer)
            .map_err(|error| TwimlError::Write(error.to_string()))?;
        let xml = String::from_utf8(writer.into_inner())
            .map_err(|error| TwimlError::Write(error.to_string()))?;
        if xml.len() > MAX_DOCUMENT_BYTES {
            return Err(TwimlError::DocumentTooLarge);
        }
        Ok(xml)
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        writer
            .create_element("Response")
            .write_inner_content(|writer| {
                for verb in &self.verbs {
                    write_verb(writer, verb)?;
                }
                Ok(())
            })?;
        Ok(())
    }
}

fn check(verb: &Verb) -> Result<(), TwimlError> {
    match verb {
        Verb::Connect(connect) => {
            let is_socket =
                connect.stream_url.starts_with("wss://") || connect.stream_url.starts_with("ws://");
            if !is_socket || connect.stream_url.contains(['?', '#']) {
                return Err(TwimlError::StreamUrl);
            }
            for (name, value) in &connect.parameters {
                if name.chars().count() + value.chars().count() > MAX_PARAMETER_CHARS {
                    return Err(TwimlError::ParameterTooLong {
                        name: clean(name).chars().take(64).collect(),
                    });
                }
            }
            Ok(())
        }
        Verb::Say { text, .. } | Verb::Gather { text, .. }
            if text.chars().count() > MAX_SAY_CHARS =>
        {
            Err(TwimlError::SayTooLong)
        }
        _ => Ok(()),
    }
}

fn write_verb(writer: &mut Writer<Vec<u8>>, verb: &Verb) -> std::io::Result<()> {
    match verb {
        Verb::Connect(connect) => write_connect(writer, connect),
        Verb::Say { text, language } => {
            write_text(writer, "Say", &[("language", language.clone())], text)
        }
        Verb::Dial {
            number,
            caller_id,
            action,
            screen,
            answer_on_bridge,
            timeout_seconds,
        } => {
            let attributes = [
                ("callerId", caller_id.clone()),
                ("action", action.clone()),
                (
                    "answerOnBridge",
                    answer_on_bridge.then(|| "true".to_owned()),
                ),
                (
                    "timeout",
                    timeout_seconds.map(|seconds| seconds.to_string()),
                ),
            ];
            match screen {
                None => write_text(writer, "Dial", &attributes, number.as_str()),
                Some(url) => write_within(writer, "Dial", &attributes, |writer| {
                    let attributes = [("url", Some(url.clone()))];
                    write_text(writer, "Number", &attributes, number.as_str())
                }),
            }
        }
        Verb::Meet { room, action } => {
            let yes = || Some("true".to_owned());
            let of_room = [
                ("beep", Some("false".to_owned())),
                ("startConferenceOnEnter", yes()),
                ("endConferenceOnExit", yes()),
            ];
            write_within(writer, "Dial", &[("action", action.clone())], |writer| {
                write_text(writer, "Conference", &of_room, room)
            })
        }
        Verb::Gather {
            text,
            language,
            action,
        } => {
            let attributes = [
                ("action", Some(action.clone())),
                ("input", Some("dtmf".to_owned())),
                ("numDigits", Some("1".to_owned())),
                ("timeout", Some(GATHER_SECONDS.to_string())),
            ];
            write_within(writer, "Gather", &attributes, |writer| {
                write_text(writer, "Say", &[("language", language.clone())], text)
            })
        }
        Verb::Redirect { url } => write_text(
            writer,
            "Redirect",
            &[("method", Some("POST".to_owned()))],
            url,
        ),
        Verb::Pause { seconds } => writer
            .create_element("Pause")
            .with_attribute(("length", seconds.to_string().as_str()))
            .write_empty()
            .map(drop),
        Verb::Hangup => writer.create_element("Hangup").write_empty().map(drop),
        Verb::Reject(reason) => {
            let reason = match reason {
                RejectReason::Busy => "busy",
                RejectReason::Rejected => "rejected",
            };
            writer
                .create_element("Reject")
                .with_attribute(("reason", reason))
                .write_empty()
                .map(drop)
        }
    }
}

fn write_connect(writer: &mut Writer<Vec<u8>>, connect: &Connect) -> std::io::Result<()> {
    let action = clean(&connect.action);
    writer
        .create_element("Connect")
        .with_attribute(("action", action.as_str()))
        .write_inner_content(|writer| {
            let url = clean(&connect.stream_url);
            let callback = connect.status_callback.as_deref().map(clean);
            let mut stream = writer
                .create_element("Stream")
                .with_attribute(("url", url.as_str()));
            if let Some(callback) = &callback {
                stream = stream.with_attribute(("statusCallback", callback.as_str()));
            }
            if connect.parameters.is_empty() {
                return stream.write_empty().map(drop);
            }
            stream
                .write_inner_content(|writer| {
                    for (name, value) in &connect.parameters {
                        let (name, value) = (clean(name), clean(value));
                        writer
                            .create_element("Parameter")
                            .with_attributes([("name", name.as_str()), ("value", value.as_str())])
                            .write_empty()?;
                    }
                    Ok(())
                })
                .map(drop)
        })?;
    Ok(())
}

fn write_text(
    writer: &mut Writer<Vec<u8>>,
    verb: &str,
    attributes: &[(&str, Option<String>)],
    text: &str,
) -> std::io::Result<()> {
    let mut element = writer.create_element(verb);
    for (name, value) in attributes {
        if let Some(value) = value {
            element = element.with_attribute((*name, clean(value).as_str()));
        }
    }
    element.write_text_content(BytesText::new(&clean(text)))?;
    Ok(())
}

fn write_within(
    writer: &mut Writer<Vec<u8>>,
    verb: &str,
    attributes: &[(&str, Option<String>)],
    inside: impl FnOnce(&mut Writer<Vec<u8>>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut element = writer.create_element(verb);
    for (name, value) in attributes {
        if let Some(value) = value {
            element = element.with_attribute((*name, clean(value).as_str()));
        }
    }
    element.write_inner_content(inside).map(drop)
}

/// The text without what XML 1.0 cannot carry (section 2.2). White space of any kind becomes a space: a reader would
/// change line breaks and tabs in attributes anyway.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\r' => cleaned.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => cleaned.push(c),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quick_xml::Reader;
    use quick_xml::XmlVersion;
    use quick_xml::events::BytesStart;

    fn connect(parameters: &[(&str, &str)]) -> Connect {
        Connect {
            action: "https://voice.example.com/after-stream".to_owned(),
            stream_url: "wss://voice.example.com/media-stream/T".to_owned(),
            status_callback: Some("https://voice.example.com/stream-status".to_owned()),
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn desk() -> PhoneNumber {
        PhoneNumber::parse("+15550199").unwrap()
    }

    #[test]
    fn an_answer_connects_the_stream_and_then_falls_back() {
        let xml = Response::new()
            .connect(connect(&[("token", "T")]))
            .say("I am sorry.", Some("de-DE"))
            .dial(
                &desk(),
                Some("+15550100"),
                Some("https://voice.example.com/after-stream"),
            )
            .to_xml()
            .unwrap();
        assert_eq!(
            xml,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\
             <Connect action=\"https://voice.example.com/after-stream\">\
             <Stream url=\"wss://voice.example.com/media-stream/T\" \
             statusCallback=\"https://voice.example.com/stream-status\">\
             <Parameter name=\"token\" value=\"T\"/></Stream></Connect>\
             <Say language=\"de-DE\">I am sorry.</Say>\
             <Dial callerId=\"+15550100\" action=\"https://voice.example.com/after-stream\">+15550199</Dial>\
             </Response>"
        );
    }

    #[test]
    fn the_small_documents_are_as_twilio_wants_them() {
        let body = |response: Response| {
            let xml = response.to_xml().unwrap();
            xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            body(Response::new().busy()),
            "<Response><Reject reason=\"busy\"/></Response>"
        );
        assert_eq!(
            body(Response::new().hangup()),
            "<Response><Hangup/></Response>"
        );
        assert_eq!(
            body(Response::new().redirect("https://b/x?a=1&b=2")),
            "<Response><Redirect method=\"POST\">https://b/x?a=1&amp;b=2</Redirect></Response>"
        );
        assert_eq!(body(Response::new()), "<Response></Response>");
    }

    #[test]
    fn a_transfer_says_how_long_it_rings_and_who_is_asked_afterwards() {
        let action = "https://voice.example.com/after-dial?target=front_desk".to_owned();
        let xml = Response::new()
            .transfer(&desk(), action, 25, None)
            .to_xml()
            .unwrap();
        assert!(
            xml.ends_with(
                "<Response><Dial action=\"https://voice.example.com/after-dial?target=front_desk\" \
                 answerOnBridge=\"true\" timeout=\"25\">+15550199</Dial></Response>"
            ),
            "{xml}"
        );
    }

    #[test]
    fn a_briefing_is_heard_by_whoever_answers_and_asks_for_a_key() {
        let (action, screen) = ("https://h/after".to_owned(), "https://h/b?c=1".to_owned());
        let dial = Response::new().transfer(&desk(), action, 25, Some(screen));
        let xml = dial.to_xml().unwrap();
        let number = "timeout=\"25\"><Number url=\"https://h/b?c=1\">+15550199</Number></Dial>";
        assert!(xml.contains(number), "{xml}");
        let asks =
            Response::new().ask_for_key("Press <1>.", Some("en-GB"), "https://h/key".to_owned());
        let xml = asks.hangup().to_xml().unwrap();
        assert!(
            xml.ends_with(
                "<Response><Gather action=\"https://h/key\" input=\"dtmf\" numDigits=\"1\" timeout=\"8\">\
                 <Say language=\"en-GB\">Press &lt;1&gt;.</Say></Gather><Hangup/></Response>"
            ),
            "{xml}"
        );
    }

    #[test]
    fn a_pause_comes_before_a_jump() {
        let xml = Response::new()
            .pause(1)
            .redirect("https://b/x?waited=1")
            .to_xml()
            .unwrap();
        assert!(
            xml.ends_with(
                "<Response><Pause length=\"1\"/><Redirect method=\"POST\">https://b/x?waited=1</Redirect></Response>"
            ),
            "{xml}"
        );
    }

    #[test]
    fn what_twilio_would_refuse_is_not_written() {
        let long = "v".repeat(MAX_PARAMETER_CHARS - 1);
        assert!(
            Response::new()
                .connect(connect(&[("n", &long)]))
                .to_xml()
                .is_ok()
        );
        assert_eq!(
            Response::new().connect(connect(&[("nn", &long)])).to_xml(),
            Err(TwimlError::ParameterTooLong {
                name: "nn".to_owned()
            })
        );
        for url in ["https://h/m", "wss://h/m?token=1", "wss://h/m#x", ""] {
            let stream = Connect {
                stream_url: url.to_owned(),
                ..connect(&[])
            };
            assert_eq!(
                Response::new().connect(stream).to_xml(),
                Err(TwimlError::StreamUrl),
                "{url}"
            );
        }
        assert_eq!(
            Response::new().say(&"a".repeat(4_097), None).to_xml(),
            Err(TwimlError::SayTooLong)
        );
        let mut many = Response::new();
        for _ in 0..20 {
            many = many.say(&"a".repeat(4_096), None);
        }
        assert_eq!(many.to_xml(), Err(TwimlError::DocumentTooLarge));
    }

    fn attribute(element: &BytesStart<'_>, wanted: &str) -> Option<String> {
        element
            .attributes()
            .map(Result::unwrap)
            .find(|attribute| attribute.key.as_ref() == wanted)
            .map(|attribute| {
                attribute
                    .normalized_value(XmlVersion::Explicit1_0)
                    .unwrap()
                    .into_owned()
            })
    }

    /// The text of the first `<Say>`, and name and value of the first `<Parameter>`.
    fn parse_back(xml: &str) -> (String, Option<(String, String)>) {
        let mut reader = Reader::from_str(xml);
        let (mut said, mut parameter, mut in_say) = (String::new(), None, false);
        loop {
            match reader.read_event().unwrap() {
                Event::Start(element) if element.name().as_ref() == "Say" => in_say = true,
                Event::End(element) if element.name().as_ref() == "Say" => in_say = false,
                Event::Empty(element) if element.name().as_ref() == "Parameter" => {
                    parameter = Some((
                        attribute(&element, "name").unwrap(),
                        attribute(&element, "value").unwrap(),
                    ));
                }
                Event::Text(text) if in_say => said.push_str(&text),
                Event::GeneralRef(reference) if in_say => {
                    let entity = format!("&{};", &*reference);
                    said.push_str(&quick_xml::escape::unescape(&entity).unwrap());
                }
                Event::Eof => return (said, parameter),
                _ => {}
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_without_its_control_characters(
            said in any::<String>(),
            name in "[a-z]{1,8}",
            value in proptest::collection::vec(any::<char>(), 0..200),
        ) {
            let value: String = value.into_iter().collect();
            let xml = Response::new().connect(connect(&[(&name, &value)])).say(&said, None).to_xml().unwrap();
            prop_assert!(!xml.chars().any(char::is_control));
            let (heard, parameter) = parse_back(&xml);
            prop_assert_eq!(heard, clean(&said));
            prop_assert_eq!(parameter, Some((name, clean(&value))));
        }
    }

    #[test]
    fn a_text_cannot_add_a_verb() {
        let xml = Response::new()
            .say("</Say><Dial>+15550666</Dial><Say>", None)
            .to_xml()
            .unwrap();
        assert!(!xml.contains("<Dial>"), "{xml}");
        assert_eq!(parse_back(&xml).0, "</Say><Dial>+15550666</Dial><Say>");
    }
}

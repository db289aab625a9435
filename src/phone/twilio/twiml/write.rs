//! Verbs as XML.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{Connect, Dial, RejectReason, TwimlError, Verb};

/// Seconds in which somebody who has heard a question presses a key.
const GATHER_SECONDS: u8 = 8;

/// An element with what is in it.
struct Element<'v> {
    name: &'static str,
    /// Those without a value are left out.
    attributes: Vec<(&'static str, Option<String>)>,
    inside: Inside<'v>,
}

enum Inside<'v> {
    Nothing,
    Text(&'v str),
    Elements(Vec<Element<'v>>),
}

/// The document of these verbs.
pub(super) fn document(verbs: &[Verb]) -> Result<String, TwimlError> {
    let failed = |error: String| TwimlError::Write(error);
    let mut writer = Writer::new(Vec::new());
    let write = |writer: &mut Writer<Vec<u8>>| -> io::Result<()> {
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let response = writer.create_element("Response");
        response.write_inner_content(|writer| {
            verbs
                .iter()
                .try_for_each(|verb| verb.element().write(writer))
        })?;
        Ok(())
    };
    write(&mut writer).map_err(|error| failed(error.to_string()))?;
    String::from_utf8(writer.into_inner()).map_err(|error| failed(error.to_string()))
}

impl<'v> Element<'v> {
    const fn new(name: &'static str, inside: Inside<'v>) -> Self {
        Self {
            name,
            attributes: Vec::new(),
            inside,
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<Option<String>>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// With attributes that are always the same.
    fn fixed(self, attributes: &[(&'static str, &str)]) -> Self {
        attributes.iter().fold(self, |element, (name, value)| {
            element.with(name, (*value).to_owned())
        })
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> io::Result<()> {
        let mut element = writer.create_element(self.name);
        for (name, value) in &self.attributes {
            if let Some(value) = value {
                element = element.with_attribute((*name, clean(value).as_str()));
            }
        }
        match &self.inside {
            Inside::Nothing => element.write_empty(),
            Inside::Text(text) => element.write_text_content(BytesText::new(&clean(text))),
            Inside::Elements(elements) => element.write_inner_content(|writer| {
                let mut elements = elements.iter();
                elements.try_for_each(|element| element.write(writer))
            }),
        }
        .map(drop)
    }
}

impl Verb {
    fn element(&self) -> Element<'_> {
        match self {
            Self::Connect(connect) => connect.element(),
            Self::Say { text, language } => say(text, language.as_deref()),
            Self::Dial(dial) => dial.element(),
            Self::Meet { room, action } => meet(room, action.as_deref()),
            Self::Gather {
                text,
                language,
                action,
            } => gather(say(text, language.as_deref()), action),
            Self::Redirect { url } => {
                Element::new("Redirect", Inside::Text(url)).fixed(&[("method", "POST")])
            }
            Self::Pause { seconds } => {
                Element::new("Pause", Inside::Nothing).with("length", seconds.to_string())
            }
            Self::Hangup => Element::new("Hangup", Inside::Nothing),
            Self::Reject(reason) => reason.element(),
        }
    }
}

impl Dial {
    fn element(&self) -> Element<'_> {
        let number = Inside::Text(self.number.as_str());
        let whom = match &self.screen {
            None => number,
            Some(url) => {
                let number = Element::new("Number", number).with("url", url.clone());
                Inside::Elements(vec![number])
            }
        };
        let answer_on_bridge = self.answer_on_bridge.then(|| "true".to_owned());
        let timeout = self.timeout_seconds.map(|seconds| seconds.to_string());
        Element::new("Dial", whom)
            .with("callerId", self.caller_id.clone())
            .with("action", self.action.clone())
            .with("answerOnBridge", answer_on_bridge)
            .with("timeout", timeout)
    }
}

impl Connect {
    fn element(&self) -> Element<'_> {
        let of = |(name, value): &(String, String)| {
            Element::new("Parameter", Inside::Nothing)
                .with("name", name.clone())
                .with("value", value.clone())
        };
        let parameters = match &self.parameters[..] {
            [] => Inside::Nothing,
            parameters => Inside::Elements(parameters.iter().map(of).collect()),
        };
        let stream = Element::new("Stream", parameters)
            .with("url", self.stream_url.clone())
            .with("statusCallback", self.status_callback.clone());
        Element::new("Connect", Inside::Elements(vec![stream])).with("action", self.action.clone())
    }
}

impl RejectReason {
    fn element(self) -> Element<'static> {
        let reason = match self {
            Self::Busy => "busy",
            Self::Rejected => "rejected",
        };
        Element::new("Reject", Inside::Nothing).fixed(&[("reason", reason)])
    }
}

fn say<'v>(text: &'v str, language: Option<&str>) -> Element<'v> {
    Element::new("Say", Inside::Text(text)).with("language", language.map(str::to_owned))
}

fn meet<'v>(room: &'v str, action: Option<&str>) -> Element<'v> {
    let conference = Element::new("Conference", Inside::Text(room)).fixed(&[
        ("beep", "false"),
        ("startConferenceOnEnter", "true"),
        ("endConferenceOnExit", "true"),
    ]);
    Element::new("Dial", Inside::Elements(vec![conference]))
        .with("action", action.map(str::to_owned))
}

fn gather<'v>(question: Element<'v>, action: &str) -> Element<'v> {
    Element::new("Gather", Inside::Elements(vec![question]))
        .with("action", action.to_owned())
        .fixed(&[("input", "dtmf"), ("numDigits", "1")])
        .with("timeout", GATHER_SECONDS.to_string())
}

/// The text without what XML 1.0 cannot carry (section 2.2). White space of any kind becomes a space: a reader would
/// change line breaks and tabs in attributes anyway.
pub(super) fn clean(text: &str) -> String {
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

//! TwiML read as Twilio reads it: leniently, with a note of everything it would complain about.
//!
//! Sources: <https://www.twilio.com/docs/voice/twiml> and the error dictionary under
//! <https://www.twilio.com/docs/api/errors>.

mod verbs;

use roxmltree::{Node, ParsingOptions};
use serde::Serialize;
use url::Url;

use super::webhook::Method;

/// One document: what the call does next, verb by verb.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// Where it came from; relative URLs in it are resolved against this.
    pub url: String,
    /// The verbs in document order.
    pub verbs: Vec<Verb>,
    /// What Twilio's debugger would show for it; warnings, the call goes on.
    pub problems: Vec<Problem>,
}

/// A complaint about a document that is still run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Twilio's error code, e.g. 12200 for schema trouble.
    pub code: u32,
    /// What is wrong, naming the element.
    pub text: String,
}

/// A document that cannot be run at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{code}: {text}")]
pub struct BadDocument {
    /// 11750 too long, 12100 not parsable, 12300 wrong content type.
    pub code: u32,
    /// What is wrong.
    pub text: String,
}

/// A TwiML verb with its attributes, URLs already absolute.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Verb {
    /// Joins the call to a bidirectional media stream until that ends.
    Connect(Connect),
    /// Speaks a text.
    Say {
        /// The words, SSML tags removed.
        text: String,
        /// The `voice` attribute.
        voice: Option<String>,
        /// The `language` attribute.
        language: Option<String>,
    },
    /// Calls another party.
    Dial {
        /// The numbers rung, all at once.
        numbers: Vec<String>,
        /// Asked for TwiML when the other leg is over.
        action: Option<String>,
        /// How `action` is requested.
        method: Method,
        /// The `callerId` attribute.
        caller_id: Option<String>,
        /// Seconds it rings before `no-answer`.
        timeout_s: u64,
        /// The `url` of the first `<Number>`: TwiML run on that party's end before the two are connected.
        screen: Option<String>,
        /// The conference to enter, in place of numbers.
        conference: Option<Conference>,
    },
    /// Waits for keys, and speaks meanwhile.
    Gather {
        /// Told which keys.
        action: Option<String>,
        /// How `action` is requested.
        method: Method,
        /// What is said.
        text: String,
        /// Seconds it waits afterwards.
        timeout_s: u64,
    },
    /// Replaces the document.
    Redirect {
        /// Where the next document is.
        url: String,
        /// How it is requested.
        method: Method,
    },
    /// Ends the call.
    Hangup,
    /// Waits.
    Pause {
        /// For this many seconds.
        length_s: u64,
    },
    /// Plays tones or a file.
    Play {
        /// Tones to send, from the `digits` attribute.
        digits: Option<String>,
        /// The audio file, absolute.
        url: Option<String>,
    },
    /// Refuses the call without answering it.
    Reject {
        /// `rejected` (default) or `busy`.
        reason: String,
    },
    /// Not a verb, or one this emulator does not run; skipped.
    Unknown {
        /// The element's name.
        name: String,
    },
}

/// `<Conference>` (<https://www.twilio.com/docs/voice/twiml/conference>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conference {
    pub name: String,
    /// Whether it may begin with this participant.
    pub starts: bool,
    /// Whether it ends when this participant leaves.
    pub ends: bool,
}

/// `<Connect>` with its `<Stream>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connect {
    /// Asked for TwiML when the stream is over; without it the next verb runs.
    pub action: Option<String>,
    /// How `action` is requested.
    pub method: Method,
    /// The media stream.
    pub stream: Stream,
}

/// `<Stream>` (<https://www.twilio.com/docs/voice/twiml/stream>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// The media socket exactly as written, or made absolute.
    pub url: String,
    /// The `name` attribute.
    pub name: Option<String>,
    /// Told when the stream starts, stops or fails.
    pub status_callback: Option<String>,
    /// How `status_callback` is requested.
    pub status_callback_method: Method,
    /// The `track` attribute as written; the emulator refuses anything but `inbound_track` (31941).
    pub track: Option<String>,
    /// The `<Parameter>` pairs in document order.
    pub parameters: Vec<(String, String)>,
}

/// Reads the body of a TwiML answer that came from `url`.
///
/// # Errors
/// 12300 for a content type that is not XML, 12100 for a body that is not XML or not a `<Response>`.
pub fn parse(content_type: &str, body: &[u8], url: &str) -> Result<Document, BadDocument> {
    let mime = content_type.split(';').next().unwrap_or_default().trim();
    if !["text/xml", "application/xml"]
        .iter()
        .any(|xml| mime.eq_ignore_ascii_case(xml))
    {
        return Err(bad(12_300, format!("content type {mime:?} is not xml")));
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(bad(12_100, "the document is not utf-8"));
    };
    let options = ParsingOptions {
        allow_dtd: false,
        ..ParsingOptions::default()
    };
    let parsed = roxmltree::Document::parse_with_options(text.trim_start(), options)
        .map_err(|error| bad(12_100, error.to_string()))?;
    let root = parsed.root_element();
    if root.tag_name().name() != "Response" {
        let name = root.tag_name().name();
        return Err(bad(12_100, format!("the root is <{name}>, not <Response>")));
    }
    let base = Url::parse(url).map_err(|error| bad(12_100, format!("{url}: {error}")))?;
    let mut reader = Reader {
        base,
        problems: Vec::new(),
    };
    let verbs = elements(root).map(|node| reader.verb(node)).collect();
    Ok(Document {
        url: url.to_owned(),
        verbs,
        problems: reader.problems,
    })
}

/// Reads one document and collects what it may be blamed for.
struct Reader {
    base: Url,
    problems: Vec<Problem>,
}

impl Reader {
    fn blame(&mut self, code: u32, text: String) {
        self.problems.push(Problem { code, text });
    }

    /// Notes attributes that the element does not have.
    fn known_attributes(&mut self, node: Node<'_, '_>, known: &[&str]) {
        for attribute in node.attributes() {
            if !known.contains(&attribute.name()) {
                let element = node.tag_name().name();
                self.blame(
                    12_200,
                    format!("<{element}> has no attribute {}", attribute.name()),
                );
            }
        }
    }

    /// An absolute URL stays as written (it may be signed byte for byte); a relative one is resolved.
    fn absolute(&mut self, written: &str) -> String {
        let written = written.trim();
        if written.contains("://") {
            return written.to_owned();
        }
        match self.base.join(written) {
            Ok(url) => url.into(),
            Err(error) => {
                self.blame(12_200, format!("{written:?} is not a url: {error}"));
                written.to_owned()
            }
        }
    }

    fn url_attribute(&mut self, node: Node<'_, '_>, name: &str) -> Option<String> {
        let written = node.attribute(name)?;
        Some(self.absolute(written))
    }

    fn method_attribute(&mut self, node: Node<'_, '_>, name: &str) -> Method {
        match node.attribute(name) {
            None | Some("POST") => Method::Post,
            Some("GET") => Method::Get,
            Some(other) => {
                let element = node.tag_name().name();
                self.blame(12_200, format!("<{element} {name}={other:?}>"));
                Method::Post
            }
        }
    }

    fn seconds_attribute(&mut self, node: Node<'_, '_>, name: &str, default: u64) -> u64 {
        let Some(written) = node.attribute(name) else {
            return default;
        };
        written.parse().unwrap_or_else(|_| {
            let element = node.tag_name().name();
            self.blame(12_200, format!("<{element} {name}={written:?}>"));
            default
        })
    }
}

fn elements<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}

/// All text below `node`, white space folded.
fn text_of(node: Node<'_, '_>) -> String {
    let mut words = Vec::new();
    for text in node.descendants().filter(Node::is_text) {
        words.extend(text.text().unwrap_or_default().split_whitespace());
    }
    words.join(" ")
}

fn bad(code: u32, text: impl Into<String>) -> BadDocument {
    BadDocument {
        code,
        text: text.into(),
    }
}

//! The single verbs: element in, [`Verb`] out.

use roxmltree::Node;

use super::{Conference, Connect, Reader, Stream, Verb, elements, text_of};

/// Name and value of a `<Parameter>` together stay below this many characters.
const MAX_PARAMETER_CHARS: usize = 500;

/// Verbs of the documentation that this emulator does not run.
const NOT_RUN: [&str; 11] = [
    "Start", "Stop", "Record", "Enqueue", "Leave", "Queue", "Refer", "Pay", "Prompt", "Sms",
    "Siprec",
];

impl Reader {
    pub(super) fn verb(&mut self, node: Node<'_, '_>) -> Verb {
        match node.tag_name().name() {
            "Connect" => self.connect(node),
            "Say" => self.say(node),
            "Dial" => self.dial(node),
            "Gather" => self.gather(node),
            "Redirect" => self.redirect(node),
            "Hangup" => {
                self.known_attributes(node, &[]);
                Verb::Hangup
            }
            "Pause" => {
                self.known_attributes(node, &["length"]);
                Verb::Pause {
                    length_s: self.seconds_attribute(node, "length", 1),
                }
            }
            "Play" => self.play(node),
            "Reject" => self.reject(node),
            name => self.unknown(name),
        }
    }

    fn unknown(&mut self, name: &str) -> Verb {
        let what = if NOT_RUN.contains(&name) {
            "is not run by this emulator"
        } else {
            "is not a verb"
        };
        self.blame(12_200, format!("<{name}> {what}"));
        Verb::Unknown {
            name: name.to_owned(),
        }
    }

    fn connect(&mut self, node: Node<'_, '_>) -> Verb {
        self.known_attributes(node, &["action", "method"]);
        let action = self.url_attribute(node, "action");
        let method = self.method_attribute(node, "method");
        let mut stream = None;
        for noun in elements(node) {
            let name = noun.tag_name().name();
            if name == "Stream" && stream.is_none() {
                stream = Some(self.stream(noun));
            } else {
                self.blame(
                    12_200,
                    format!("<Connect> holds a <{name}> that is not run"),
                );
            }
        }
        match stream {
            Some(stream) => Verb::Connect(Connect {
                action,
                method,
                stream,
            }),
            None => {
                self.blame(12_200, "<Connect> holds no <Stream>".to_owned());
                Verb::Unknown {
                    name: "Connect".to_owned(),
                }
            }
        }
    }

    fn stream(&mut self, node: Node<'_, '_>) -> Stream {
        self.known_attributes(
            node,
            &[
                "url",
                "name",
                "track",
                "statusCallback",
                "statusCallbackMethod",
                "connectorName",
            ],
        );
        let url = match node.attribute("url") {
            Some(written) => self.stream_url(written),
            None => {
                self.blame(12_200, "<Stream> has no url".to_owned());
                String::new()
            }
        };
        let status_callback = self.url_attribute(node, "statusCallback");
        if let Some(written) = node.attribute("statusCallback")
            && !written.contains("://")
        {
            self.blame(12_200, "statusCallback must be an absolute url".to_owned());
        }
        Stream {
            url,
            name: node.attribute("name").map(str::to_owned),
            status_callback,
            status_callback_method: self.method_attribute(node, "statusCallbackMethod"),
            track: node.attribute("track").map(str::to_owned),
            parameters: self.parameters(node),
        }
    }

    /// A relative stream URL takes the document's host and becomes `wss`.
    fn stream_url(&mut self, written: &str) -> String {
        let absolute = self.absolute(written);
        if written.contains("://") {
            return absolute;
        }
        match absolute.split_once("://") {
            Some((_, rest)) => format!("wss://{rest}"),
            None => absolute,
        }
    }

    fn parameters(&mut self, stream: Node<'_, '_>) -> Vec<(String, String)> {
        let mut parameters = Vec::new();
        for node in elements(stream) {
            let element = node.tag_name().name();
            if element != "Parameter" {
                self.blame(12_200, format!("<Stream> holds a <{element}>"));
                continue;
            }
            let name = node.attribute("name").unwrap_or_default();
            let value = node.attribute("value").unwrap_or_default();
            if name.is_empty() || node.attribute("value").is_none() {
                self.blame(12_200, "<Parameter> needs a name and a value".to_owned());
                continue;
            }
            if name.chars().count() + value.chars().count() >= MAX_PARAMETER_CHARS {
                self.blame(
                    12_200,
                    format!(
                        "<Parameter name={name:?}> has {MAX_PARAMETER_CHARS} characters or more"
                    ),
                );
                continue;
            }
            parameters.push((name.to_owned(), value.to_owned()));
        }
        parameters
    }

    fn say(&mut self, node: Node<'_, '_>) -> Verb {
        self.known_attributes(node, &["voice", "language", "loop"]);
        Verb::Say {
            text: text_of(node),
            voice: node.attribute("voice").map(str::to_owned),
            language: node.attribute("language").map(str::to_owned),
        }
    }

    fn dial(&mut self, node: Node<'_, '_>) -> Verb {
        // Unknown attributes of <Dial> are ignored in silence.
        let mut numbers = Vec::new();
        let mut screen = None;
        let mut conference = None;
        for noun in elements(node) {
            match noun.tag_name().name() {
                "Number" => {
                    screen = screen.or_else(|| self.url_attribute(noun, "url"));
                    numbers.push(text_of(noun));
                }
                "Sip" | "Client" => numbers.push(text_of(noun)),
                "Conference" => conference = Some(self.conference(noun)),
                name => self.blame(12_200, format!("<Dial> holds a <{name}>")),
            }
        }
        let own_text = node.text().map(str::trim).unwrap_or_default();
        if !own_text.is_empty() {
            numbers.push(own_text.to_owned());
        }
        if numbers.is_empty() && conference.is_none() {
            self.blame(12_200, "<Dial> names nobody to call".to_owned());
        }
        Verb::Dial {
            numbers,
            action: self.url_attribute(node, "action"),
            method: self.method_attribute(node, "method"),
            caller_id: node.attribute("callerId").map(str::to_owned),
            timeout_s: self.seconds_attribute(node, "timeout", 30),
            screen,
            conference,
        }
    }

    fn conference(&mut self, node: Node<'_, '_>) -> Conference {
        self.known_attributes(
            node,
            &[
                "beep",
                "startConferenceOnEnter",
                "endConferenceOnExit",
                "waitUrl",
                "jitterBufferSize",
            ],
        );
        Conference {
            name: text_of(node),
            starts: node.attribute("startConferenceOnEnter") != Some("false"),
            ends: node.attribute("endConferenceOnExit") == Some("true"),
        }
    }

    fn gather(&mut self, node: Node<'_, '_>) -> Verb {
        self.known_attributes(
            node,
            &[
                "action",
                "method",
                "input",
                "numDigits",
                "timeout",
                "finishOnKey",
            ],
        );
        for inside in elements(node) {
            let name = inside.tag_name().name();
            if !["Say", "Play", "Pause"].contains(&name) {
                self.blame(12_200, format!("<Gather> holds a <{name}>"));
            }
        }
        Verb::Gather {
            action: self.url_attribute(node, "action"),
            method: self.method_attribute(node, "method"),
            text: text_of(node),
            timeout_s: self.seconds_attribute(node, "timeout", 5),
        }
    }

    fn redirect(&mut self, node: Node<'_, '_>) -> Verb {
        self.known_attributes(node, &["method"]);
        let written = text_of(node);
        let url = if written.is_empty() {
            self.base.to_string()
        } else {
            self.absolute(&written)
        };
        Verb::Redirect {
            url,
            method: self.method_attribute(node, "method"),
        }
    }

    fn play(&mut self, node: Node<'_, '_>) -> Verb {
        self.known_attributes(node, &["digits", "loop"]);
        let written = text_of(node);
        let digits = node.attribute("digits").map(str::to_owned);
        if written.is_empty() && digits.is_none() {
            self.blame(12_200, "<Play> names neither digits nor a file".to_owned());
        }
        Verb::Play {
            digits,
            url: (!written.is_empty()).then(|| self.absolute(&written)),
        }
    }

    fn reject(&mut self, node: Node<'_, '_>) -> Verb {
        self.known_attributes(node, &["reason"]);
        let reason = node.attribute("reason").unwrap_or("rejected");
        if !["rejected", "busy"].contains(&reason) {
            self.blame(12_200, format!("<Reject reason={reason:?}>"));
        }
        Verb::Reject {
            reason: reason.to_owned(),
        }
    }
}

//! Any document of verbs is XML that another parser reads, verb for verb, or is refused; no text in it becomes a verb.
//!
//! The input is lines, a verb each: its first letter says which, the rest is its text. `S` say, `L` say in a language,
//! `D` dial, `T` transfer, `M` meet, `G` gather, `R` redirect, `P` pause, `H` hang up, `B` busy, `C` connect.
use switchboard::phone::twilio::twiml::{Connect, MAX_DOCUMENT_BYTES, Response};
use switchboard_base::number::PhoneNumber;

fn with_verb(document: Response, kind: char, text: &str) -> Option<Response> {
    let owned = || text.to_owned();
    // What is dialled is a number, whatever stands in the text.
    let number = PhoneNumber::parse(text).or_else(|_| PhoneNumber::parse("+15550199"));
    let number = number.expect("a number of examples");
    Some(match kind {
        'S' => document.say(text, None),
        'L' => document.say(text, Some(text)),
        'D' => document.dial(&number, Some(text), Some(text)),
        'T' => document.transfer(&number, owned(), 20, Some(owned())),
        'M' => document.meet(owned(), Some(owned())),
        'G' => document.ask_for_key(text, None, owned()),
        'R' => document.redirect(text),
        'P' => document.pause(u16::try_from(text.len()).unwrap_or(u16::MAX)),
        'H' => document.hangup(),
        'B' => document.busy(),
        'C' => {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            document.connect(Connect {
                action: owned(),
                stream_url: format!("wss://spa.example/{text}"),
                status_callback: Some(owned()),
                parameters: vec![(name.to_owned(), value.to_owned())],
            })
        }
        _ => return None,
    })
}

/// What is heard of a text: neither controls, which are left out, nor how words are kept apart.
fn heard(text: &str) -> String {
    let is_heard = |c: &char| {
        let in_xml = !matches!(c, '\u{FFFE}' | '\u{FFFF}');
        in_xml && !c.is_control() && !c.is_whitespace()
    };
    text.chars().filter(is_heard).collect()
}

/// What the target does with an input.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (mut document, mut names, mut said) = (Response::new(), Vec::new(), Vec::new());
    for line in text.split('\n') {
        let mut letters = line.chars();
        let Some(kind) = letters.next() else {
            continue;
        };
        let Some(longer) = with_verb(document.clone(), kind, letters.as_str()) else {
            continue;
        };
        document = longer;
        names.push(match kind {
            'S' | 'L' => "Say",
            'D' | 'T' | 'M' => "Dial",
            'G' => "Gather",
            'R' => "Redirect",
            'P' => "Pause",
            'H' => "Hangup",
            'B' => "Reject",
            _ => "Connect",
        });
        if matches!(kind, 'S' | 'L') {
            said.push(heard(letters.as_str()));
        }
    }
    let Ok(xml) = document.to_xml() else {
        return;
    };
    assert!(xml.len() <= MAX_DOCUMENT_BYTES);
    let read = roxmltree::Document::parse(&xml).expect("what was written is XML");
    let verbs: Vec<_> = read
        .root_element()
        .children()
        .filter(roxmltree::Node::is_element)
        .collect();
    let written: Vec<_> = verbs.iter().map(|verb| verb.tag_name().name()).collect();
    assert_eq!(written, names);
    let spoken: Vec<_> = verbs
        .iter()
        .filter(|verb| verb.has_tag_name("Say"))
        .map(|verb| heard(verb.text().unwrap_or_default()))
        .collect();
    assert_eq!(spoken, said);
}

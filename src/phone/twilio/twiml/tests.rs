use super::write::clean;
use super::*;
use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

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
    let asks = Response::new().ask_for_key("Press <1>.", Some("en-GB"), "https://h/key".to_owned());
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

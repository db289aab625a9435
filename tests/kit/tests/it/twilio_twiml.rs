//! TwiML documents, good and bad.

use switchboard_kit::twilio::Method;
use switchboard_kit::twilio::twiml::{Connect, Document, Stream, Verb, parse};

const URL: &str = "https://spa.example/twilio/incoming-call?x=1";

fn read(inside: &str) -> Document {
    let body = format!("<Response>{inside}</Response>");
    parse("text/xml", body.as_bytes(), URL).unwrap()
}

fn clean(inside: &str) -> Vec<Verb> {
    let document = read(inside);
    assert_eq!(document.problems, []);
    document.verbs
}

#[test]
fn a_connect_is_read_whole() {
    let verbs = clean(concat!(
        r#"<Connect action="../after" method="GET">"#,
        r#"<Stream url="wss://spa.example/media/abc" name="main" track="inbound_track" "#,
        r#"statusCallback="https://spa.example/s?a=1&amp;b=2" statusCallbackMethod="GET">"#,
        r#"<Parameter name="token" value="&lt;&quot;"/><Parameter name="agent" value=""/>"#,
        r#"</Stream></Connect>"#
    ));
    let expected = Connect {
        action: Some("https://spa.example/after".to_owned()),
        method: Method::Get,
        stream: Stream {
            url: "wss://spa.example/media/abc".to_owned(),
            name: Some("main".to_owned()),
            status_callback: Some("https://spa.example/s?a=1&b=2".to_owned()),
            status_callback_method: Method::Get,
            track: Some("inbound_track".to_owned()),
            parameters: vec![
                ("token".to_owned(), "<\"".to_owned()),
                ("agent".to_owned(), String::new()),
            ],
        },
    };
    assert_eq!(verbs, [Verb::Connect(expected)]);
}

#[test]
fn absolute_urls_stay_as_written_and_relative_ones_are_resolved() {
    let url_of = |written: &str| {
        let verbs = clean(&format!(r#"<Connect><Stream url="{written}"/></Connect>"#));
        match &verbs[0] {
            Verb::Connect(connect) => connect.stream.url.clone(),
            other => panic!("{other:?}"),
        }
    };
    // A parser would add a slash to the first and signatures would differ.
    assert_eq!(url_of("wss://spa.example"), "wss://spa.example");
    assert_eq!(url_of("wss://spa.example:443/m"), "wss://spa.example:443/m");
    assert_eq!(url_of("/media/1"), "wss://spa.example/media/1");
    assert_eq!(url_of("media/1"), "wss://spa.example/twilio/media/1");
}

#[test]
fn every_other_verb_is_read() {
    let verbs = clean(concat!(
        r#"<Say voice="alice" language="en-GB"> Good <emphasis>morning</emphasis>
            there </Say>"#,
        r#"<Dial callerId="+15550100" timeout="12" action="/dialled"><Number>+15550199</Number></Dial>"#,
        r#"<Dial>+15550177</Dial><Redirect method="GET">/again</Redirect><Redirect/>"#,
        r#"<Pause length="3"/><Pause/><Play digits="1w2"/><Play>/clip.wav</Play>"#,
        r#"<Reject reason="busy"/><Hangup/>"#
    ));
    let dial =
        |number: &str, action: Option<&str>, caller_id: Option<&str>, timeout_s| Verb::Dial {
            numbers: vec![number.to_owned()],
            action: action.map(str::to_owned),
            method: Method::Post,
            caller_id: caller_id.map(str::to_owned),
            timeout_s,
            screen: None,
            conference: None,
        };
    let expected = [
        Verb::Say {
            text: "Good morning there".to_owned(),
            voice: Some("alice".to_owned()),
            language: Some("en-GB".to_owned()),
        },
        dial(
            "+15550199",
            Some("https://spa.example/dialled"),
            Some("+15550100"),
            12,
        ),
        dial("+15550177", None, None, 30),
        Verb::Redirect {
            url: "https://spa.example/again".to_owned(),
            method: Method::Get,
        },
        Verb::Redirect {
            url: URL.to_owned(),
            method: Method::Post,
        },
        Verb::Pause { length_s: 3 },
        Verb::Pause { length_s: 1 },
        Verb::Play {
            digits: Some("1w2".to_owned()),
            url: None,
        },
        Verb::Play {
            digits: None,
            url: Some("https://spa.example/clip.wav".to_owned()),
        },
        Verb::Reject {
            reason: "busy".to_owned(),
        },
        Verb::Hangup,
    ];
    assert_eq!(verbs, expected);
}

#[test]
fn what_the_schema_does_not_know_is_noted_and_skipped() {
    let long = "x".repeat(495);
    let parameter = format!(
        r#"<Connect><Stream url="wss://h/m"><Parameter name="token" value="{long}"/></Stream></Connect>"#
    );
    let cases = [
        ("<Shout>hi</Shout>", "<Shout> is not a verb"),
        ("<say>hi</say>", "<say> is not a verb"),
        ("<Record/>", "<Record> is not run"),
        ("<Gather><Dial/></Gather>", "<Gather> holds a <Dial>"),
        ("<Connect/>", "holds no <Stream>"),
        ("<Connect><Room>x</Room></Connect>", "holds a <Room>"),
        ("<Connect><Stream/></Connect>", "has no url"),
        (
            r#"<Connect><Stream url="wss://h/m" statuscallback="x"/></Connect>"#,
            "no attribute statuscallback",
        ),
        (
            r#"<Connect><Stream url="wss://h/m" statusCallback="/s"/></Connect>"#,
            "must be an absolute url",
        ),
        (&parameter, "500 characters or more"),
        (
            r#"<Connect method="PUT"><Stream url="wss://h/m"/></Connect>"#,
            "method",
        ),
        (r#"<Pause length="soon"/>"#, "length"),
        (r#"<Reject reason="tired"/>"#, "reason"),
        ("<Dial/>", "names nobody"),
        ("<Play/>", "neither digits nor a file"),
    ];
    for (inside, expected) in cases {
        let document = read(inside);
        let problem = document.problems.first().expect(inside);
        assert_eq!(problem.code, 12_200);
        assert!(
            problem.text.contains(expected),
            "{inside}: {}",
            problem.text
        );
    }
    assert_eq!(
        read("<Shout/><Hangup/>").verbs,
        [
            Verb::Unknown {
                name: "Shout".to_owned()
            },
            Verb::Hangup
        ]
    );
}

#[test]
fn documents_that_cannot_be_run_have_twilios_codes() {
    let cases: [(&str, &[u8], u32); 8] = [
        ("text/html", b"<Response/>", 12_300),
        ("application/json", b"{}", 12_300),
        ("", b"<Response/>", 12_300),
        ("text/xml", b"", 12_100),
        ("text/xml", b"<Response>", 12_100),
        ("text/xml", b"<Answer/>", 12_100),
        ("text/xml", b"<Response>\xFF</Response>", 12_100),
        ("text/xml", b"hello", 12_100),
    ];
    for (content_type, body, code) in cases {
        let bad = parse(content_type, body, URL).unwrap_err();
        assert_eq!(bad.code, code, "{content_type} {body:?}");
    }
    assert!(parse("application/xml; charset=utf-8", b"<Response/>", URL).is_ok());
    assert!(parse("Text/XML", b"\n<?xml version=\"1.0\"?><Response/>", URL).is_ok());
}

//! What becomes of every kind of reply, and what the model is told.

use std::time::Duration;

use call_protocol::tool::ToolResult;
use serde_json::json;
use switchboard_actors::tools::{MAX_REPLY, signature};

use crate::service::tools::single_tool::{SECRET, made, on_a_worker, once};
use test_support::times;
use test_support::tool_server::{Does, ToolServer};

#[test]
fn a_request_is_what_the_contract_says() {
    on_a_worker(async {
        let server = ToolServer::start([Does::json(r#"{ "name" : "Ann" }"#)]).await;
        let finished = once(made(&server.url())).await;
        assert_eq!(finished.result, ToolResult::Ok);
        assert_eq!(finished.output, r#"{"name":"Ann"}"#);
        let asked = server.asked().remove(0);
        assert_eq!(
            asked.json(),
            json!({
                "tool": "it", "call_sid": format!("CA{}", "7".repeat(32)), "call_id": "call_1",
                "caller": "+15550142", "agent": "spa", "arguments": {"at": 9},
            })
        );
        assert_eq!(asked.path, "/tools/it");
        assert_eq!(asked.header("content-type"), "application/json");
        assert_eq!(asked.header("authorization"), "Bearer x");
        assert!(!asked.header("idempotency-key").is_empty());
        let signed = asked.header("x-switchboard-signature");
        let seconds = signed
            .strip_prefix("t=")
            .unwrap()
            .split(',')
            .next()
            .unwrap();
        let expected = signature(
            SECRET.as_bytes(),
            seconds.parse().unwrap(),
            asked.text.as_bytes(),
        );
        assert_eq!(signed, expected);
    });
    // printf '1.{}' | openssl dgst -sha256 -hmac secret
    assert_eq!(
        signature(b"secret", 1, b"{}"),
        "t=1,v1=1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908"
    );
}

/// What it does, what becomes of it without and with effects, and how often it is asked then.
type Case = (&'static str, Does, ToolResult, usize, ToolResult, usize);

fn cases() -> Vec<Case> {
    use ToolResult::{Failed, Ok, TimedOut, Unknown};
    let long = format!("\"{}\"", "x".repeat(MAX_REPLY));
    vec![
        ("200 with JSON", Does::json("{}"), Ok, 1, Ok, 1),
        ("201 with JSON", Does::status(201, "[]"), Ok, 1, Ok, 1),
        (
            "200 with broken JSON",
            Does::json("{\"code\":"),
            Failed,
            1,
            Unknown,
            1,
        ),
        (
            "200 with text in the place of JSON",
            Does::json("fine, thanks"),
            Failed,
            1,
            Unknown,
            1,
        ),
        (
            "200 with more than 1 MiB",
            Does::json(&long),
            Failed,
            1,
            Ok,
            1,
        ),
        (
            "400",
            Does::status(400, r#"{"why":"no such day"}"#),
            Failed,
            1,
            Failed,
            1,
        ),
        ("404", Does::status(404, ""), Failed, 1, Failed, 1),
        ("429", Does::status(429, ""), Failed, 3, Failed, 3),
        ("500", Does::status(500, "oh no"), Failed, 1, Unknown, 1),
        ("503", Does::status(503, ""), Failed, 3, Unknown, 1),
        (
            "303",
            Does::redirects(303, "/elsewhere"),
            Failed,
            1,
            Failed,
            1,
        ),
        (
            "closed without a word",
            Does::ClosesWhenDone,
            Failed,
            3,
            Unknown,
            1,
        ),
        ("no answer", Does::HangsWhenDone, TimedOut, 1, Unknown, 1),
    ]
}

#[test]
fn every_kind_of_reply_has_its_result_and_a_word_for_the_model() {
    on_a_worker(async {
        let mut rows = 0;
        for (name, does, read, read_asked, effect, effect_asked) in cases() {
            for (effects, result, times) in
                [(false, read, read_asked), (true, effect, effect_asked)]
            {
                let server = ToolServer::start([does.clone()]).await;
                let finished = once(crate::service::tools::single_tool::Made {
                    effects,
                    ..made(&server.url())
                })
                .await;
                assert_eq!(
                    finished.result, result,
                    "{name}, effects {effects}: {}",
                    finished.output
                );
                assert_eq!(server.asked().len(), times, "{name}, effects {effects}");
                let told: serde_json::Value = serde_json::from_str(&finished.output).unwrap();
                let has_word = told.get("error").is_some() || told.get("advice").is_some();
                assert_eq!(has_word, result != ToolResult::Ok, "{name}: {told}");
                rows += 1;
            }
        }
        println!("replies: {rows} rows, each with its result");
    });
}

#[test]
fn an_acknowledgement_is_told_as_done_and_text_as_text() {
    let done = r#"{"status":"done"}"#;
    let no_text = r#"{"note":"the server's answer is not text","status":"done"}"#;
    let cases = [
        ("200, empty", Does::json(""), done),
        ("201, empty", Does::status(201, ""), done),
        (
            "202, blanks",
            Does::of_kind(202, "text/plain", " \r\n"),
            done,
        ),
        ("204", Does::of_kind(204, "", ""), done),
        ("200, nothing said of it", Does::of_kind(200, "", ""), done),
        (
            "200, text",
            Does::of_kind(200, "text/plain; charset=utf-8", "Booked: A7.\n"),
            "Booked: A7.",
        ),
        (
            "201, text of no kind",
            Does::of_kind(201, "", "{ fine }"),
            "{ fine }",
        ),
        (
            "202, XML",
            Does::of_kind(202, "application/xml", "<ok/>"),
            "<ok/>",
        ),
        (
            "200, JSON under another name",
            Does::of_kind(200, "text/plain", r#"{ "code" : "A7" }"#),
            r#"{"code":"A7"}"#,
        ),
        (
            "200, JSON of a kind of its own",
            Does::of_kind(200, "application/problem+json", "[1]"),
            "[1]",
        ),
        (
            "200, a picture",
            Does::of_kind(200, "image/png", "not a picture"),
            no_text,
        ),
    ];
    on_a_worker(async {
        for (name, does, told) in cases {
            for effects in [false, true] {
                let server = ToolServer::start([does.clone()]).await;
                let finished = once(crate::service::tools::single_tool::Made {
                    effects,
                    ..made(&server.url())
                })
                .await;
                assert_eq!(finished.output, told, "{name}, effects {effects}");
                assert_eq!(finished.result, ToolResult::Ok, "{name}, effects {effects}");
                assert_eq!(server.asked().len(), 1, "{name}, effects {effects}");
            }
        }
    });
}

#[test]
fn nobody_there_is_tried_again_and_the_same_key_is_sent_each_time() {
    on_a_worker(async {
        let server = ToolServer::start([
            Does::status(503, ""),
            Does::status(429, ""),
            Does::json("{}"),
        ])
        .await;
        let mut knowing = made(&server.url());
        knowing.http.knows_its_key = true;
        knowing.effects = true;
        let finished = once(knowing).await;
        assert_eq!(finished.result, ToolResult::Ok);
        let asked = server.asked();
        let keys: Vec<&str> = asked
            .iter()
            .map(|asked| asked.header("idempotency-key"))
            .collect();
        assert_eq!(keys.len(), 3);
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");

        // A port on which nobody listens.
        let gone = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let finished = once(crate::service::tools::single_tool::Made {
            effects: true,
            ..made(&format!("http://{gone}/"))
        })
        .await;
        assert_eq!(
            finished.result,
            ToolResult::Failed,
            "it did not reach anybody"
        );
    });
}

#[test]
fn a_deadline_is_kept_whatever_the_server_does() {
    on_a_worker(async {
        let server = ToolServer::start([Does::HangsWhenDone]).await;
        let began = std::time::Instant::now();
        let finished = once(crate::service::tools::single_tool::Made {
            timeout: Duration::from_millis(300),
            ..made(&server.url())
        })
        .await;
        let took = began.elapsed();
        assert_eq!(finished.result, ToolResult::TimedOut);
        times::within(took, Duration::from_millis(800), "took");
        println!("deadline of 300 ms: over after {} ms", took.as_millis());
    });
}

#[test]
fn arguments_that_do_not_fit_the_schema_reach_nobody() {
    on_a_worker(async {
        let server = ToolServer::start([Does::json("{}")]).await;
        let tools = made(&server.url()).boxed();
        let mut bad = crate::service::tools::single_tool::run(false, 0);
        bad.arguments.insert("at".to_owned(), json!("nine"));
        let finished = tools
            .run(bad, crate::service::tools::single_tool::caller())
            .await;
        assert_eq!(finished.result, ToolResult::Refused);
        assert!(
            finished
                .output
                .contains(r#"arguments.at: it is not of type \"integer\""#)
        );
        assert!(server.asked().is_empty());
    });
}

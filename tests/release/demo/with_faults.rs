//! `switchboard demo --faults`, as a user runs it, and the operator's route that it breaks a call with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use test_support::child::run;
use test_support::http::Request;
use test_support::phone::sid;
use test_support::{ADMIN_TOKEN, AUTH_TOKEN, TestService, times};

/// A folder for the files of the call; goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("switchboard-demo-faults-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn one_call_survives_every_rung_and_its_caller_is_never_left_in_silence() {
    let folder = Folder::new();
    let out = folder.0.display().to_string();
    let output = run(
        &["demo", "--faults", "--fast", "--out", &out],
        &BTreeMap::new(),
    );
    let shown = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{complaint}\n{shown}");

    let table = shown
        .lines()
        .skip_while(|line| !line.contains("what broke"))
        .skip(1);
    let rows: Vec<&str> = table.take(5).collect();
    assert_eq!(rows.len(), 5, "{shown}");
    for (row, number) in rows.into_iter().zip(["–", "1", "2", "3", "5"]) {
        let row = row.split_once("demo").unwrap().1.trim();
        println!("{row}");
        assert!(row.starts_with(number) && row.contains("  yes  "), "{row}");
    }

    let transcript = folder.json("transcript.json");
    let rung = |index: usize, figure: &str| transcript["rungs"][index][figure].as_u64().unwrap();
    let usual = rung(0, "silence_ms");
    assert!(rung(2, "filler_ms") > 0, "model");
    times::within_ms(rung(1, "silence_ms"), 500, "panic");
    times::within_ms(rung(2, "silence_ms"), 2_500, "model");
    times::within_ms(rung(3, "silence_ms"), usual + 300, "rollover");
    // A second of it is Twilio's, who asks again after a pause.
    times::within_ms(rung(4, "silence_ms"), 4_000, "killed");

    // One conversation from the first word to the last, and one greeting in it.
    let turns = transcript["turns"].as_array().unwrap();
    let said = |words: &str| {
        let says = |turn: &&Value| turn["said"].as_str().unwrap_or_default().contains(words);
        turns.iter().filter(says).count()
    };
    assert_eq!(said("How can I help you?"), 1, "{transcript:#}");
    assert_eq!(said("I would like a classic massage"), 1);
    assert_eq!(said("I need to move my appointment"), 1);
    assert_eq!(said("Thank you very much, goodbye"), 1);

    let lines = folder.text("events.jsonl");
    let events: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let logged = |message: &str| {
        let says = |event: &&Value| event["wire"] == "log" && event["message"]["msg"] == message;
        events.iter().filter(says).count()
    };
    assert_eq!(logged("serving"), 2, "two processes served");
    assert_eq!(logged("fault in a call, building it anew"), 1);
    assert_eq!(logged("next model session taken"), 1);
    assert_eq!(logged("resumed"), 1);
    let secrets = [
        ADMIN_TOKEN,
        AUTH_TOKEN,
        "demo-auth-token",
        "demo-admin-token",
    ];
    assert!(!secrets.iter().any(|secret| lines.contains(secret)));

    // Stereo, two bytes a sample, 8,000 a second: all streams and what lies between them.
    let sound = std::fs::metadata(folder.0.join("call.wav")).unwrap().len();
    assert!(sound > 45 * 8_000 * 4, "{sound} bytes");
}

#[tokio::test]
async fn a_fault_needs_the_token_a_live_call_and_a_kind() {
    let service = TestService::usual().await;
    let path = format!("/admin/calls/{}/fault", sid("CA"));
    let ask = async |body: &str, token: &str| {
        let request = Request::new("POST", &path).header("Content-Type", "application/json");
        let request = request.header("Authorization", &format!("Bearer {token}"));
        request.body(body).send(service.admin).await
    };
    let good = "{\"kind\":\"panic_in_step\"}";
    // A panic in a handler is that request's business, and it is told so.
    for _ in 0..3 {
        let answer = ask("{\"kind\":\"panic_in_handler\"}", ADMIN_TOKEN).await;
        assert_eq!(answer.status, 500);
    }
    assert_eq!(ask(good, "somebody-elses-token").await.status, 401);
    assert_eq!(ask(good, ADMIN_TOKEN).await.status, 404);
    for body in [
        "",
        "{}",
        "{\"kind\":\"fire\"}",
        "{\"kind\":\"panic_in_step\",\"x\":1}",
    ] {
        let answer = ask(body, ADMIN_TOKEN).await;
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(answer.json()["error"]["code"], "bad_body");
    }
    service.stop().await;
}

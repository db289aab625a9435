//! A call that something is going to happen to.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use switchboard_kit::twilio::{CallOutcome, Line, Scripted, Step};
use tokio::task::JoinHandle;

use crate::http::{Reply, Request};
use crate::{ADMIN_TOKEN, SOON, caller, until};

/// What an operator with the token gets.
pub async fn operator(admin: SocketAddr, method: &str, path: &str, body: &str) -> Reply {
    Request::new(method, path)
        .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .header("Content-Type", "application/json")
        .body(body)
        .send(admin)
        .await
}

/// A caller on the phone, by the SID of the call.
pub struct FaultedCall {
    pub call: String,
    admin: SocketAddr,
    running: JoinHandle<CallOutcome>,
}

impl FaultedCall {
    /// Phones from a number of its own and waits until the agent was heard.
    pub async fn on(
        mut line: Line,
        admin: SocketAddr,
        from: &str,
        steps: impl IntoIterator<Item = Step>,
    ) -> Self {
        line.from = from.to_owned();
        let scripted: Scripted = caller(steps);
        let running = tokio::spawn(async move { line.call(scripted).await });
        // The list masks the number: its last digits are this caller's.
        let digits = &from[from.len() - 4..];
        let mut call = String::new();
        until("the agent is heard by the caller", SOON, async || {
            let list = operator(admin, "GET", "/admin/calls", "").await.json();
            let rows = list["calls"].as_array().cloned().unwrap_or_default();
            let is_his = |row: &&Value| {
                let from = row["from"].as_str().unwrap_or_default();
                from.ends_with(digits) && row["frames"]["to_caller"].as_u64() > Some(0)
            };
            let row = rows.iter().find(is_his);
            call = row
                .and_then(|row| row["call_sid"].as_str())
                .unwrap_or_default()
                .to_owned();
            row.is_some()
        })
        .await;
        Self {
            call,
            admin,
            running,
        }
    }

    /// Breaks something in this caller's call.
    pub async fn breaks(&self, body: &str) {
        let path = format!("/admin/calls/{}/fault", self.call);
        let answer = operator(self.admin, "POST", &path, body).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    pub async fn outcome(self) -> CallOutcome {
        self.running.await.unwrap()
    }
}

/// The longest time without a sound from the first sound of the agent to the last, in milliseconds, on all streams and
/// between them, while the caller did not speak.
pub fn longest_gap_ms(outcome: &CallOutcome) -> u64 {
    let mut sounds: Vec<(u64, u64)> = Vec::new();
    for stream in &outcome.streams {
        for span in stream.agent_speech.iter().chain(&stream.caller_speech) {
            let from = stream.started_ms + span.from_ms;
            sounds.push((from, stream.started_ms + span.to_ms));
        }
    }
    sounds.sort_unstable();
    let mut longest = 0;
    let mut until = sounds.first().map_or(0, |first| first.0);
    for (from, to) in sounds {
        longest = longest.max(from.saturating_sub(until));
        until = until.max(to);
    }
    longest
}

/// Just long enough for whatever follows a fault.
pub async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

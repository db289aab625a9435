//! The operator of the demo with faults: looks at the call, reads the metrics, breaks what is to be broken.

use std::net::SocketAddr;
use std::time::Duration;

use awc::Client;
use awc::http::StatusCode;
use serde_json::{Value, json};

/// How long the admin listener may take to answer.
const ANSWERS: Duration = Duration::from_secs(5);

/// A page with all turns of a long call fits.
const LARGEST_ANSWER: usize = 1 << 20;

pub(super) struct Operator {
    client: Client,
    admin: SocketAddr,
    token: &'static str,
}

impl Operator {
    pub(super) fn new(admin: SocketAddr, token: &'static str) -> Self {
        let client = Client::builder().timeout(ANSWERS).finish();
        Self {
            client,
            admin,
            token,
        }
    }

    /// The page of one live call.
    pub(super) async fn page(&self, call: &str) -> Result<Value, String> {
        let text = self.get(&format!("/admin/calls/{call}")).await?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// The SID of the call; there is one.
    pub(super) async fn only_call(&self) -> Result<String, String> {
        let text = self.get("/admin/calls").await?;
        let list: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let sid = list["calls"][0]["call_sid"].as_str();
        sid.map(str::to_owned)
            .ok_or_else(|| "no call is live".to_owned())
    }

    /// One metric; 0 if it is not there.
    pub(super) async fn metric(&self, name: &str) -> Result<f64, String> {
        let scrape = self.get("/metrics").await?;
        let line = scrape.lines().find_map(|line| line.strip_prefix(name));
        Ok(line
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0.0))
    }

    /// Lets the next step of a call panic.
    pub(super) async fn panic_in_step(&self, call: &str) -> Result<(), String> {
        let path = format!("/admin/calls/{call}/fault");
        let request = self
            .client
            .post(self.url(&path))
            .bearer_auth(self.token)
            .send_json(&json!({"kind": "panic_in_step"}));
        let answer = request.await.map_err(|error| format!("{path}: {error}"))?;
        match answer.status() {
            StatusCode::ACCEPTED => Ok(()),
            status => Err(format!("{path} answered {status}")),
        }
    }

    async fn get(&self, path: &str) -> Result<String, String> {
        let request = self
            .client
            .get(self.url(path))
            .bearer_auth(self.token)
            .send();
        let mut answer = request.await.map_err(|error| format!("{path}: {error}"))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{path} answered {}", answer.status()));
        }
        let body = answer.body().limit(LARGEST_ANSWER).await;
        let body = body.map_err(|error| format!("{path}: {error}"))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }
}

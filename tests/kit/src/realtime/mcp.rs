//! Servers of tools, as a provider uses them: asked for their tools when a session is configured, and called in the middle
//! of a response (developers.openai.com, *realtime-mcp*).
//!
//! The engine has no sockets: it hands out what it wants asked, and is told what came of it.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST};
use serde_json::{Value, json};

use crate::mcp::PROTOCOL;
use crate::twilio::{Destination, exchange};

/// The longest a server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer read.
const MAX_ANSWER: usize = 256 * 1024;

/// A server of tools, as the session's configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) label: String,
    url: String,
    authorization: Option<String>,
    headers: Vec<(String, String)>,
}

impl Server {
    /// Reads a tool of type `mcp` that has a URL.
    pub(crate) fn read(tool: &Value) -> Option<Self> {
        let text = |key: &str| tool[key].as_str().map(str::to_owned);
        if tool["type"] != "mcp" {
            return None;
        }
        let headers = tool["headers"].as_object().into_iter().flatten();
        let headers =
            headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        Some(Self {
            label: text("server_label")?,
            url: text("server_url")?,
            authorization: text("authorization"),
            headers: headers.collect(),
        })
    }

    async fn send(&self, message: &Value) -> Result<Value, String> {
        let broken = |error: String| error;
        let destination =
            Destination::find(None, &self.url).map_err(|error| broken(error.to_string()))?;
        let mut request = Request::post(destination.target.as_str())
            .header(HOST, &destination.host)
            .header(ACCEPT, "application/json, text/event-stream")
            .header(CONTENT_TYPE, "application/json")
            .header("MCP-Protocol-Version", PROTOCOL)
            .header(CONNECTION, "close");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, format!("Bearer {authorization}"));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(message.to_string()));
        let request = request.body(body).map_err(|error| error.to_string())?;
        let reply = exchange(&destination, request, MAX_ANSWER, PATIENCE).await;
        let reply = reply.map_err(|error| error.to_string())?;
        if !(200..300).contains(&reply.status) {
            return Err(format!("status {}", reply.status));
        }
        let body = reply.body.unwrap_or_default();
        if message.get("id").is_none() {
            return Ok(Value::Null);
        }
        let answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(answer["error"]["message"]
                .as_str()
                .unwrap_or("no result")
                .to_owned()),
        }
    }

    async fn list(&self) -> Result<Vec<Value>, String> {
        let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": {"name": "kit", "version": "1"}}});
        self.send(&hello).await?;
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await?;
        let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
        let listed = self.send(&list).await?;
        let tools = listed["tools"].as_array().ok_or("no list of tools")?;
        Ok(tools.clone())
    }

    async fn call(&self, name: &str, arguments: &str) -> Result<String, String> {
        let arguments: Value =
            serde_json::from_str(arguments).map_err(|error| error.to_string())?;
        let call = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call",
            "params": {"name": name, "arguments": arguments}});
        let result = self.send(&call).await?;
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        if result["isError"] == true {
            return Err(text.to_owned());
        }
        Ok(text.to_owned())
    }
}

/// What is to be asked of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// For its tools.
    List { item_id: String, server: Server },
    /// To run one.
    Call {
        item_id: String,
        server: Server,
        name: String,
        arguments: String,
    },
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) enum Answered {
    Listed {
        item_id: String,
        server: Server,
        tools: Result<Vec<Value>, String>,
    },
    Called {
        item_id: String,
        output: Result<String, String>,
    },
}

impl Ask {
    /// Asks.
    pub(crate) async fn carry_out(self) -> Answered {
        match self {
            Self::List { item_id, server } => {
                let tools = server.list().await;
                Answered::Listed {
                    item_id,
                    server,
                    tools,
                }
            }
            Self::Call {
                item_id,
                server,
                name,
                arguments,
            } => {
                let output = server.call(&name, &arguments).await;
                Answered::Called { item_id, output }
            }
        }
    }
}

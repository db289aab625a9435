//! A server of tools over the Model Context Protocol's streamable HTTP, as small as one can be: `initialize`,
//! `tools/list`, `tools/call`, each answered with JSON (<https://modelcontextprotocol.io/specification>).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The version of the protocol that is spoken.
pub const PROTOCOL: &str = "2025-06-18";

/// The largest request read.
const MAX_REQUEST: usize = 64 * 1024;

/// A tool of the server.
#[derive(Debug, Clone)]
pub struct McpTool {
    pub name: String,
    /// The text it answers; `Err`: it fails with it.
    pub answer: Result<String, String>,
    /// How long it takes.
    pub takes: Duration,
}

/// A request, as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct McpRequest {
    /// `Authorization`.
    pub authorization: Option<String>,
    /// The JSON-RPC message.
    pub message: Value,
}

impl McpRequest {
    /// The JSON-RPC method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.message["method"].as_str().unwrap_or_default()
    }
}

/// A running server.
#[derive(Debug)]
pub struct McpServer {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<McpRequest>>>,
    task: JoinHandle<()>,
}

impl McpServer {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(tools: Vec<McpTool>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, tools) = (Arc::clone(&requests), Arc::new(tools));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, tools) = (Arc::clone(&kept), Arc::clone(&tools));
                tokio::spawn(async move {
                    let answer = service_fn(|request| answer(request, &kept, &tools));
                    // A client that goes away is its own business.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Ok(Self {
            address,
            requests,
            task,
        })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<McpRequest> {
        let requests = self.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for McpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    kept: &Mutex<Vec<McpRequest>>,
    tools: &[McpTool],
) -> Result<Response<Full<Bytes>>, Infallible> {
    let authorization = request.headers().get(AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let authorization = authorization.map(str::to_owned);
    let body = Limited::new(request.into_body(), MAX_REQUEST)
        .collect()
        .await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let kept_request = McpRequest {
        authorization,
        message: message.clone(),
    };
    kept.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(kept_request);
    let mut response = Response::new(Full::default());
    let Some(id) = message.get("id") else {
        // A notification.
        *response.status_mut() = StatusCode::ACCEPTED;
        return Ok(response);
    };
    let mut reply = json!({"jsonrpc": "2.0", "id": id});
    match carry_out(&message, tools).await {
        Ok(result) => reply["result"] = result,
        Err(text) => reply["error"] = json!({"code": -32_601, "message": text}),
    }
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    *response.body_mut() = Full::new(Bytes::from(reply.to_string()));
    Ok(response)
}

async fn carry_out(message: &Value, tools: &[McpTool]) -> Result<Value, String> {
    match message["method"].as_str().unwrap_or_default() {
        "initialize" => Ok(json!({
            "protocolVersion": PROTOCOL, "capabilities": {"tools": {}},
            "serverInfo": {"name": "kit", "version": "1"},
        })),
        "tools/list" => {
            let tools = tools.iter().map(|tool| {
                json!({"name": tool.name, "description": "A tool.", "inputSchema": {"type": "object"}})
            });
            Ok(json!({"tools": tools.collect::<Vec<_>>()}))
        }
        "tools/call" => {
            let name = message["params"]["name"].as_str().unwrap_or_default();
            let tool = tools.iter().find(|tool| tool.name == name);
            let tool = tool.ok_or_else(|| format!("no tool {name}"))?;
            tokio::time::sleep(tool.takes).await;
            let (text, failed) = match &tool.answer {
                Ok(text) => (text, false),
                Err(text) => (text, true),
            };
            Ok(json!({"content": [{"type": "text", "text": text}], "isError": failed}))
        }
        other => Err(format!("no method {other}")),
    }
}

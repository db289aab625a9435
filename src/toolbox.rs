//! The tools of the settings and of this process, in one box; and what the model is told of those it runs itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use call_protocol::tool::ToolSpec;
use rustls::ClientConfig;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use switchboard_actors::metrics::Metrics;
use switchboard_actors::store::CallStore;
use switchboard_actors::tools::{HttpTool, Place, Tool, ToolBox, Web, resolve_by_system};

use crate::settings::{self, ToolKind};

/// What a service brings along besides what its settings say.
#[derive(Clone, Default)]
pub struct OwnTools {
    /// Tools in this process, such as the appointment book's: offered to the agents that name them.
    pub tools: Vec<(ToolSpec, Arc<dyn Tool>)>,
    /// The journal of effects; without one an effect is done once only as long as the process lives.
    pub journal: Option<Arc<dyn CallStore>>,
}

/// Puts the tools of the settings and the process's own into one box.
pub(crate) fn toolbox(
    configured: &BTreeMap<String, settings::Tool>,
    own: OwnTools,
    tls: Arc<ClientConfig>,
    metrics: Arc<Metrics>,
) -> Arc<ToolBox> {
    let web = Web {
        tls,
        resolve: resolve_by_system(),
    };
    let mut tools = ToolBox::new(Some(web), own.journal, metrics);
    for (spec, tool) in own.tools {
        tools.add(spec, Place::Local(tool));
    }
    for tool in configured.values() {
        let ToolKind::Http { parameters } = &tool.kind else {
            continue;
        };
        let spec = ToolSpec {
            name: tool.name.clone(),
            description: tool.description.clone(),
            parameters: parameters.clone(),
            effects: tool.effects,
            timeout: tool.timeout,
        };
        let http = HttpTool {
            url: tool.url.clone(),
            redirect_hosts: tool.redirect_hosts.clone(),
            secret: tool.secret.clone(),
            headers: tool.headers.clone(),
            allow_private: tool.allow_private,
            knows_its_key: tool.idempotent,
        };
        tools.add(spec, Place::Http(Box::new(http)));
    }
    Arc::new(tools)
}

/// A Model Context Protocol server as the model is told of it; the model's provider calls it
/// (<https://platform.openai.com/docs/guides/realtime-mcp>).
pub(crate) fn mcp(tool: &settings::Tool) -> Option<Value> {
    if tool.kind != ToolKind::Mcp {
        return None;
    }
    let mut told = json!({
        "type": "mcp", "server_label": tool.name, "server_description": tool.description,
        "server_url": tool.url.as_str(), "require_approval": "never",
    });
    if let Some(secret) = &tool.secret {
        told["authorization"] = json!(secret.expose_secret());
    }
    if !tool.headers.is_empty() {
        let headers = tool.headers.iter();
        told["headers"] = headers
            .map(|(name, value)| (name.clone(), json!(value.expose_secret())))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    Some(told)
}

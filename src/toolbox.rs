//! The tools of the settings and of this process, in one box; and what the model is told of those it runs itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use call_protocol::tool::ToolSpec;
use rustls::ClientConfig;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use switchboard_actors::metrics::Metrics;
use switchboard_actors::store::CallStore;
use switchboard_actors::tools::{
    Blocking, HttpTool, Place, Tool, ToolBox, ToolError, ToolRequest, Web, resolve_by_system,
};

use crate::booking::{self, Book, BookTool, CallContext};
use crate::phone::caller;
use crate::settings::{self, ToolKind};

/// The book answers in milliseconds; a disk that takes longer than this is out of order.
const BOOK_ANSWERS: Duration = Duration::from_secs(5);

/// What a service brings along besides what its settings say.
#[derive(Clone, Default)]
pub struct OwnTools {
    /// Tools in this process, such as the appointment book's: offered to the agents that name them.
    pub tools: Vec<(ToolSpec, Arc<dyn Tool>)>,
    /// The journal of effects; without one an effect is done once only as long as the process lives.
    pub journal: Option<Arc<dyn CallStore>>,
}

/// What boxes of tools are made with; each reading of the settings makes its own.
pub(crate) struct Workshop {
    pub(crate) own: OwnTools,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Puts the book's tools, the process's own and those of the settings into one box. Of the same name, the last wins.
pub(crate) fn toolbox(
    configured: &BTreeMap<String, settings::Tool>,
    book: Option<&Arc<Book>>,
    workshop: &Workshop,
) -> Arc<ToolBox> {
    let web = Web {
        tls: workshop.tls.clone(),
        resolve: resolve_by_system(),
    };
    let journal = workshop.own.journal.clone();
    let mut tools = ToolBox::new(Some(web), journal, workshop.metrics.clone());
    if let Some(book) = book {
        for tool in booking::tools() {
            let (spec, place) = of_the_book(tool, book.clone());
            tools.add(spec, place);
        }
    }
    for (spec, tool) in &workshop.own.tools {
        tools.add(spec.clone(), Place::Local(tool.clone()));
    }
    for tool in configured.values() {
        let Some(spec) = http(tool) else {
            continue;
        };
        let place = HttpTool {
            url: tool.url.clone(),
            redirect_hosts: tool.redirect_hosts.clone(),
            secret: tool.secret.clone(),
            headers: tool.headers.clone(),
            allow_private: tool.allow_private,
            knows_its_key: tool.idempotent,
        };
        tools.add(spec, Place::Http(Box::new(place)));
    }
    Arc::new(tools)
}

/// The tools the settings name, for a model to be told of and for nobody to run: no book is opened for it.
pub(crate) fn for_show(
    configured: &BTreeMap<String, settings::Tool>,
    metrics: Arc<Metrics>,
) -> ToolBox {
    let mut tools = ToolBox::new(None, None, metrics);
    let own = booking::tools().iter().map(spec_of_the_book);
    for spec in own.chain(configured.values().filter_map(http)) {
        let idle = |_: ToolRequest| Err(ToolError::Failed("nothing is run here".to_owned()));
        tools.add(spec, Place::Local(Arc::new(Blocking::new(false, idle))));
    }
    tools
}

/// What the model is told of a tool that is called over HTTP.
fn http(tool: &settings::Tool) -> Option<ToolSpec> {
    let ToolKind::Http { parameters } = &tool.kind else {
        return None;
    };
    Some(ToolSpec {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: parameters.clone(),
        effects: tool.effects,
        timeout: tool.timeout,
    })
}

fn spec_of_the_book(tool: &BookTool) -> ToolSpec {
    ToolSpec {
        name: tool.name.to_owned(),
        description: tool.description.to_owned(),
        parameters: tool.parameters(),
        effects: tool.effects,
        timeout: BOOK_ANSWERS,
    }
}

/// A tool of the appointment book. The book keeps keys itself, in one transaction with the effect.
fn of_the_book(tool: &'static BookTool, book: Arc<Book>) -> (ToolSpec, Place) {
    let spec = spec_of_the_book(tool);
    let run = move |request: ToolRequest| {
        let context = CallContext {
            caller: caller::number(Some(&request.caller.number)),
            now: jiff::Timestamp::now(),
            idempotency_key: tool.effects.then_some(request.key.as_str()),
        };
        let answer = book.call(tool.name, &Value::Object(request.arguments), &context);
        Ok(answer.to_string())
    };
    (spec, Place::Local(Arc::new(Blocking::new(true, run))))
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

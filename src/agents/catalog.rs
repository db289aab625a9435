//! The tools of the settings and of this process, in one box; and what the model is told of those it runs itself.

use std::sync::Arc;
use std::time::Duration;

use call_protocol::tool::ToolSpec;
use rustls::ClientConfig;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use switchboard_actors::metrics::Metrics;
use switchboard_actors::store::CallStore;
use switchboard_actors::tools::{
    Blocking, HttpTool, Place, SchemaError, Tool, ToolBox, ToolError, ToolRequest, Web, Why,
    resolve_by_system,
};

use crate::settings::{self, BUILT_IN_TOOLS, Settings, SettingsError, ToolKind};
use appointment_book::{Answer, Asker, Book, BookTool, CallContext, Identify};
use switchboard_base::nearest;
use switchboard_base::number::callable;

/// The book answers in milliseconds; a disk that takes longer than this is out of order.
const BOOK_ANSWERS: Duration = Duration::from_secs(5);

/// What a service brings along besides what its settings say.
#[derive(Clone, Default)]
pub struct OwnTools {
    /// Tools in this process, such as the appointment book's. The settings name one with `[tools.NAME]` and
    /// `kind = "builtin"`, and it is offered to the agents that list it.
    pub tools: Vec<(ToolSpec, Arc<dyn Tool>)>,
    /// The journal of effects; without one an effect is done once only as long as the process lives.
    pub journal: Option<Arc<dyn CallStore>>,
}

/// What boxes of tools are made with; each reading of the settings makes its own.
pub(crate) struct ToolContext {
    pub(crate) own: OwnTools,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Whether every tool that the settings say is in this process is in it, and says of its arguments what can be checked.
///
/// # Errors
/// The first that is not, or does not.
pub fn check_names(settings: &Settings, own: &OwnTools) -> Result<(), SettingsError> {
    for (spec, _) in &own.tools {
        let key = format!("tools.{}.parameters", spec.name);
        settings::compiled(&key, &spec.parameters)?;
    }
    let of_process = own.tools.iter().map(|(spec, _)| spec.name.as_str());
    let known: Vec<&str> = BUILT_IN_TOOLS.iter().copied().chain(of_process).collect();
    let mut names = settings.built_ins.keys();
    let Some(unknown) = names.find(|name| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let mend = match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("this process has {}", known.join(", ")),
    };
    Err(SettingsError::UnknownName {
        key: format!("tools.{unknown}"),
        name: unknown.clone(),
        mend,
    })
}

/// Puts the book's tools, the process's own and those of the settings into one box. Of the same name, the last wins.
pub(crate) fn toolbox(
    settings: &Settings,
    book: Option<&Arc<Book>>,
    workshop: &ToolContext,
) -> Arc<ToolBox> {
    let web = Web {
        tls: workshop.tls.clone(),
        resolve: resolve_by_system(),
    };
    let journal = workshop.own.journal.clone();
    let mut tools = ToolBox::new(Some(web), journal, workshop.metrics.clone());
    if let Some(book) = book {
        for tool in appointment_book::tools() {
            let (spec, place) = of_the_book(tool, book.clone(), asked(settings.book.identify));
            add(&mut tools, spec, place);
        }
    }
    for (spec, tool) in &workshop.own.tools {
        add(&mut tools, spec.clone(), Place::Local(tool.clone()));
    }
    describe_built_ins(&mut tools, settings);
    for tool in settings.tools.values() {
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
        add(&mut tools, spec, Place::Http(Box::new(place)));
    }
    Arc::new(tools)
}

/// The tools the settings name, for a model to be told of and for nobody to run: no book is opened for it.
pub(crate) fn for_show(settings: &Settings, metrics: Arc<Metrics>) -> ToolBox {
    let mut tools = ToolBox::new(None, None, metrics);
    let mut show = |spec| {
        let idle = |_: ToolRequest| {
            Err(ToolError::Failed(Why::Sentence(
                "nothing is run here".to_owned(),
            )))
        };
        let place = Place::Local(Arc::new(Blocking::new(false, idle)));
        add(&mut tools, spec, place);
    };
    appointment_book::tools()
        .iter()
        .map(spec_of_the_book)
        .for_each(&mut show);
    settings.tools.values().filter_map(http).for_each(&mut show);
    describe_built_ins(&mut tools, settings);
    tools
}

/// Puts a tool in. All schemas were compiled when they were read; one that does not compile all the same costs its own
/// tool alone.
fn add(tools: &mut ToolBox, spec: ToolSpec, place: Place) {
    let name = spec.name.clone();
    if let Err(error) = tools.add(spec, place) {
        left_out(&name, &error);
    }
}

fn left_out(tool: &str, error: &SchemaError) {
    log::error!(target: "switchboard", tool, error:% = error; "parameters are no JSON Schema, tool left out");
}

/// What the settings say of tools in this process takes the place of their own words.
fn describe_built_ins(tools: &mut ToolBox, settings: &Settings) {
    for built_in in settings.built_ins.values() {
        let described = tools.describe(&built_in.name, |spec| {
            let said = built_in.clone();
            spec.description = said
                .description
                .unwrap_or(std::mem::take(&mut spec.description));
            spec.parameters = said.parameters.unwrap_or(spec.parameters.take());
            spec.effects = said.effects.unwrap_or(spec.effects);
            spec.timeout = said.timeout.unwrap_or(spec.timeout);
        });
        if let Err(error) = described {
            left_out(&built_in.name, &error);
        }
    }
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

/// What a change asks for, in the book's words.
const fn asked(identify: settings::Identify) -> Identify {
    match identify {
        settings::Identify::Number => Identify::Number,
        settings::Identify::NumberAndName => Identify::NumberAndName,
        settings::Identify::Code => Identify::Code,
    }
}

/// A tool of the appointment book. The book keeps keys itself, in one transaction with the effect.
fn of_the_book(tool: &'static BookTool, book: Arc<Book>, identify: Identify) -> (ToolSpec, Place) {
    let spec = spec_of_the_book(tool);
    let run = move |request: ToolRequest| {
        let context = CallContext {
            asker: Asker::Caller {
                number: callable(Some(&request.caller.number)),
                call: request.caller.call.as_str(),
                identify,
            },
            now: jiff::Timestamp::now(),
            idempotency_key: tool.effects.then_some(request.key.as_str()),
        };
        match book.answer(tool.name, &Value::Object(request.arguments), &context) {
            Answer::Done(answer) => Ok(answer.to_string()),
            Answer::Refused(answer) => Err(ToolError::Refused(Why::Answer(answer.to_string()))),
            Answer::Failed(answer) => Err(ToolError::Failed(Why::Answer(answer.to_string()))),
        }
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

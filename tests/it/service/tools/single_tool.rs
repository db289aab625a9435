//! One tool in a box, without a call around it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use call_protocol::ids::ModelId;
use call_protocol::phone::CallSid;
use call_protocol::tool::{ToolFinished, ToolRun, ToolSpec, key};
use rustls::{ClientConfig, RootCertStore};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use switchboard_actors::metrics::Metrics;
use switchboard_actors::store::CallStore;
use switchboard_actors::tools::{
    Caller, HttpTool, Place, Resolve, ToolBox, Web, resolve_by_system,
};
use url::Url;

pub(crate) const SECRET: &str = "itest-tool-secret";

/// How a tool in a box differs from the usual.
pub(crate) struct Made {
    pub(crate) http: HttpTool,
    pub(crate) resolve: Resolve,
    pub(crate) store: Option<Arc<dyn CallStore>>,
    pub(crate) timeout: Duration,
    pub(crate) effects: bool,
}

/// A tool that may go inside, one second.
pub(crate) fn made(url: &str) -> Made {
    Made {
        http: HttpTool {
            url: Url::parse(url).unwrap(),
            redirect_hosts: Vec::new(),
            secret: Some(SecretString::from(SECRET)),
            headers: vec![("Authorization".to_owned(), SecretString::from("Bearer x"))],
            allow_private: true,
            knows_its_key: false,
        },
        resolve: resolve_by_system(),
        store: None,
        timeout: Duration::from_secs(1),
        effects: false,
    }
}

impl Made {
    /// The box, with the tool as `it`.
    pub(crate) fn boxed(self) -> Arc<ToolBox> {
        let roots = RootCertStore::empty();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let web = Web {
            tls: Arc::new(tls),
            resolve: self.resolve,
        };
        let metrics = Arc::new(Metrics::new("itest").unwrap());
        let mut tools = ToolBox::new(Some(web), self.store, metrics);
        tools
            .add(
                spec("it", self.effects, self.timeout),
                Place::Http(Box::new(self.http)),
            )
            .unwrap();
        Arc::new(tools)
    }
}

pub(crate) fn spec(name: &str, effects: bool, timeout: Duration) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: "Does it.".to_owned(),
        parameters: json!({"type": "object", "properties": {"at": {"type": "integer"}}}),
        effects,
        timeout,
    }
}

/// A run of the tool `it` for the wish of this number.
pub(crate) fn run(effects: bool, intent: u32) -> ToolRun {
    let arguments: Map<String, Value> = Map::from_iter([("at".to_owned(), json!(9))]);
    let canonical = key::canonical(&arguments);
    ToolRun {
        number: 1,
        tool: "it".to_owned(),
        call: ModelId::new("call_1"),
        key: key::effect_key(&call_sid(), "it", &canonical, intent),
        canonical,
        arguments,
        effects,
        timeout: Duration::from_secs(1),
        again: false,
    }
}

pub(crate) fn call_sid() -> CallSid {
    CallSid::parse(&format!("CA{}", "7".repeat(32))).unwrap()
}

pub(crate) fn caller() -> Caller {
    Caller {
        call: call_sid(),
        number: "+15550142".to_owned(),
        agent: "spa".to_owned(),
    }
}

/// Runs it once.
pub(crate) async fn once(made: Made) -> ToolFinished {
    let effects = made.effects;
    let mut run = run(effects, 0);
    run.timeout = made.timeout;
    made.boxed().run(run, caller()).await
}

/// A resolver that answers one after the other, and counts.
pub(crate) fn resolver(answers: Vec<Vec<SocketAddr>>) -> (Resolve, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let resolve: Resolve = Arc::new(move |_, _| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let answer = answers.get(number.min(answers.len() - 1)).cloned();
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such host")) })
    });
    (resolve, asked)
}

/// Runs on an actix thread, as the service does.
pub(crate) fn on_a_worker<T>(what: impl Future<Output = T>) -> T {
    actix::System::new().block_on(what)
}

//! The whole service in one test: the real service on free ports, an emulated model, an emulated phone line.
//!
//! The service runs on a thread and an actix system of its own, as in production; the model and the phone run on the
//! test's runtime. What the test needs of the service comes over channels and sockets.
//!
//! [`child`] is the real binary in a process of its own, and [`process_fixture`] what such processes share;
//! [`chaos_fixture`] puts a proxy that breaks things between service and model. Several test programs use this.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests, where a panic is the report

pub mod chaos_fixture;
pub mod child;
pub mod faulted_call;
pub mod http;
pub mod phone;
pub mod proc;
pub mod process_fixture;
pub mod socket;
pub mod tool_server;
pub mod turns;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic;
use std::path::Path;
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use switchboard::Service;
use switchboard::agents::catalog::OwnTools;
use switchboard::settings::Settings;
use switchboard_actors::events::EventBus;
use switchboard_actors::live_calls::LiveCalls;
use switchboard_actors::metrics::Metrics;
use switchboard_actors::registry::Registry;
use switchboard_kit::realtime::{Realtime, Running, Script, Step as Answer};
use switchboard_kit::speech;
use switchboard_kit::twilio::twiml::Verb;
use switchboard_kit::twilio::{Account, CallOutcome, Line, Route, Scripted, Step};
pub use test_times as times;
use tokio::sync::oneshot;
use url::Url;

use http::{Reply, Scrape};

/// The public address webhooks are signed for; nobody resolves it.
pub const PUBLIC: &str = "https://spa.example";
/// The account of every call.
pub const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// Signs what the emulated Twilio sends.
pub const AUTH_TOKEN: &str = "itest-auth-token-0123456789abcdef";
/// Opens the admin listener.
pub const ADMIN_TOKEN: &str = "itest-admin-token-0123456789abcd";
/// The model's key.
pub const MODEL_KEY: &str = "itest-model-key-0123456789abcdef";

/// The agent of the tests: speaks first, interrupts, says sorry and rings the front desk when the model is gone.
pub const AGENT: &str = r#"
[agents.spa]
instructions = "You answer the phone of a spa."
greeting = { mode = "model", text = "Greet the caller." }
[fallback]
say = "We have a technical problem."
dial = "+15550199"
"#;

/// How long anything may take that is expected to happen; the machine may be busy with a build, or with several.
pub const SOON: Duration = Duration::from_secs(30);

/// What a service is made of.
pub struct Options {
    pub model: Realtime,
    pub toml: String,
    pub environment: Vec<(&'static str, String)>,
    pub own: OwnTools,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: Realtime::builder().think_ms(50).keys([MODEL_KEY]),
            toml: AGENT.to_owned(),
            environment: Vec::new(),
            own: OwnTools::default(),
        }
    }
}

impl Options {
    /// With another model; its keys are set here.
    pub fn model(mut self, model: Realtime) -> Self {
        self.model = model.keys([MODEL_KEY]);
        self
    }

    /// With one more variable.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }
}

/// A file that says nothing but that.
const UNLIMITED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/unlimited.toml");

/// Settings whose callers may all have the same number, unless they say what a number may.
pub fn unlimited(toml: &str) -> String {
    const ALL: &str = "number_calls_per_hour = 0\n";
    if toml.contains("number_calls_per_hour") {
        toml.to_owned()
    } else if let Some((before, after)) = toml.split_once("[limits]\n") {
        format!("{before}[limits]\n{ALL}{after}")
    } else {
        format!("{toml}\n[limits]\n{ALL}")
    }
}

/// The variables that make a service of the options, whether in this process or in another one. A process without a
/// configuration file of its own takes the same number as often as it calls.
pub fn environment(model: &str, more: &[(&'static str, String)]) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        ("SWITCHBOARD_LISTEN", "127.0.0.1:0"),
        ("SWITCHBOARD_ADMIN_LISTEN", "127.0.0.1:0"),
        ("SWITCHBOARD_PUBLIC_URL", PUBLIC),
        ("SWITCHBOARD_ADMIN_TOKEN", ADMIN_TOKEN),
        ("SWITCHBOARD_WORKERS", "2"),
        ("SWITCHBOARD_STORE", "memory"),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN),
        ("OPENAI_API_KEY", MODEL_KEY),
        ("OPENAI_REALTIME_URL", model),
        ("SWITCHBOARD_CONFIG", UNLIMITED),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (name, value) in more {
        environment.insert((*name).to_owned(), value.clone());
    }
    environment
}

/// A running service with its emulated surroundings.
pub struct TestService {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub registry: actix::Addr<Registry>,
    pub counters: Arc<Metrics>,
    /// What happens in its calls.
    pub events: EventBus,
    pub live_calls: LiveCalls,
    pub model: Running,
    leave: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Up {
    public: SocketAddr,
    admin: SocketAddr,
    registry: actix::Addr<Registry>,
    counters: Arc<Metrics>,
    events: EventBus,
    live_calls: LiveCalls,
}

static ONE_LINE_PANICS: Once = Once::new();

/// A panic of the service's threads is one line here as in the process itself: with `RUST_BACKTRACE` set, finding the
/// names of a backtrace takes a second or two, in which no call of that thread goes on.
#[allow(clippy::print_stderr)] // as the hook of the process does
fn panic_in_one_line() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let thread = std::thread::current();
        if thread.name().is_some_and(|name| name.starts_with("actix")) {
            eprintln!("{info}");
        } else {
            usual(info);
        }
    }));
}

impl TestService {
    pub async fn start(options: Options) -> Self {
        ONE_LINE_PANICS.call_once(panic_in_one_line);
        times::watch();
        let model = options.model.start().await.expect("the model listens");
        let environment = environment(&model.url(), &options.environment);
        let settings = Settings::from_toml(
            &unlimited(&options.toml),
            Path::new("itest.toml"),
            &environment,
        )
        .expect("the configuration is valid");
        let (up, is_up) = oneshot::channel();
        let (leave, leaves) = oneshot::channel::<()>();
        let own = options.own;
        let thread = std::thread::Builder::new()
            .name("service".to_owned())
            .spawn(move || {
                actix::System::new().block_on(async move {
                    let counters = Arc::new(Metrics::new("itest").unwrap());
                    let service = Service::start_with(settings, counters.clone(), None, own)
                        .expect("the service starts");
                    let sent = up.send(Up {
                        public: service.public,
                        admin: service.admin,
                        registry: service.registry.clone(),
                        counters,
                        events: service.events().clone(),
                        live_calls: service.live_calls().clone(),
                    });
                    if sent.is_err() {
                        return;
                    }
                    // A service that is dropped leaves, too.
                    let _ = leaves.await;
                    service.drain();
                    service.hand_over().await;
                    service.stop().await;
                });
            })
            .unwrap();
        let up = is_up.await.expect("the service is up");
        Self {
            public: up.public,
            admin: up.admin,
            registry: up.registry,
            counters: up.counters,
            events: up.events,
            live_calls: up.live_calls,
            model,
            leave: Some(leave),
            thread: Some(thread),
        }
    }

    /// With nothing out of the ordinary.
    pub async fn usual() -> Self {
        Self::start(Options::default()).await
    }

    /// A phone line to the service.
    pub fn line(&self) -> Line {
        line_to(self.public)
    }

    /// What an operator with the token gets from the admin listener.
    pub async fn operator(&self, method: &str, path: &str) -> Reply {
        http::Request::new(method, path)
            // In dev mode no other name is let in.
            .header("Host", &self.admin.to_string())
            .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
            .send(self.admin)
            .await
    }

    /// The list of live calls.
    pub async fn calls(&self) -> Value {
        self.operator("GET", "/admin/calls").await.json()
    }

    /// The metrics, as they are scraped.
    pub async fn metrics(&self) -> Scrape {
        Scrape::read(&self.operator("GET", "/metrics").await.text())
    }

    /// One metric, 0 if it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        self.metrics().await.get(name)
    }

    /// Waits until no call lives.
    pub async fn empty(&self) {
        until("the registry is empty", SOON, async || {
            self.calls().await["count"] == 0
        })
        .await;
    }

    /// Ends everything and waits for it.
    pub async fn stop(mut self) {
        self.leave.take();
        let thread = self.thread.take().unwrap();
        let joined = tokio::task::spawn_blocking(move || thread.join());
        let ended = tokio::time::timeout(SOON, joined).await;
        ended
            .expect("the service stops")
            .unwrap()
            .expect("the service's thread ends well");
    }
}

/// A phone line to a service that listens there.
pub fn line_to(public: SocketAddr) -> Line {
    let base = Url::parse(PUBLIC).unwrap();
    let mut line = Line::new(base.join("/incoming-call").unwrap());
    line.route = Some(Route::new(base, public));
    line.account = Account::new(ACCOUNT, AUTH_TOKEN);
    line.pace = switchboard_kit::twilio::Pace::fast();
    line
}

/// Says one of the caller's clips.
pub fn say(clip: &str) -> Step {
    Step::Speak(Cow::Borrowed(speech::caller(clip).unwrap().mulaw()))
}

/// Waits for the agent to have spoken.
pub fn listen() -> Step {
    Step::WaitForAgent { quiet_ms: 400 }
}

/// A caller who follows these steps for at most half a minute.
pub fn caller(steps: impl IntoIterator<Item = Step>) -> Scripted {
    Scripted::new(steps, 30_000)
}

/// A model that greets with half a second of tone and answers whatever is said with another one.
pub fn brief() -> Realtime {
    brief_with(|_| {})
}

/// The same with a script that was changed.
pub fn brief_with(change: impl FnOnce(&mut Script)) -> Realtime {
    let mut script = Script::default();
    script.greeting = tone(440, 500, "Hello.");
    script.otherwise = tone(660, 500, "Yes.");
    script.unprompted = tone(550, 500, "Going on.");
    change(&mut script);
    Realtime::builder().script(script).think_ms(50)
}

/// The caller met [`AGENT`]'s fallback: its words, then its front desk. Gives the milliseconds from the first stream's
/// start to the words.
pub fn fallback_after_ms(outcome: &CallOutcome) -> u64 {
    assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
    assert_eq!(outcome.dialled(), ["+15550199"]);
    let said = outcome
        .verbs
        .iter()
        .find(|verb| matches!(verb.verb, Verb::Say { .. }))
        .unwrap();
    said.at_ms - outcome.streams[0].started_ms
}

/// An answer that is one tone.
pub fn tone(hz: u32, ms: u64, text: &str) -> Answer {
    Answer {
        says: vec![switchboard_kit::realtime::Say::tone(hz, ms, text)],
        ..Answer::default()
    }
}

/// This machine lacks something that a test needs: told here, a failure where nothing may be left out.
#[allow(clippy::print_stdout)] // for whoever reads the test's output
pub fn cannot_run(row: &str, lacks: &str) {
    let strict = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!strict, "{row} not run: {lacks}");
    println!("{row} not run: {lacks}");
}

/// Asks again every few milliseconds until it is so.
pub async fn until(what: &str, within: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

//! What every handler of the service needs: the settings, the registry, the mint, the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::Addr;
use call_protocol::call::AgentProfile;
use switchboard_actors::admission::Gate;
use switchboard_actors::call::{CallSeed, Shared, Tap};
use switchboard_actors::down::DownGuard;
use switchboard_actors::messages::Visit;
use switchboard_actors::metrics::Metrics;
use switchboard_actors::openai::{Dialler, ModelLine};
use switchboard_actors::registry::Registry;
use switchboard_actors::store::CallStore;
use switchboard_actors::tools::ToolBox;

use crate::phone::openers::{Opener, Openers};
use crate::phone::ticket::{Mint, TokenEq};
use crate::profile::{Around, ProfileError};
use crate::settings::{Fallback, Settings, Trust};

/// Longest wait for an answer of the registry; it answers in microseconds.
const REGISTRY_ANSWERS: Duration = Duration::from_secs(2);

/// Shared by all workers of both listeners.
pub(crate) struct House {
    pub(crate) settings: Settings,
    pub(crate) registry: Addr<Registry>,
    /// What outlives the process.
    pub(crate) store: Arc<dyn CallStore>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the model's account can take another call.
    pub(crate) gate: Arc<Gate>,
    /// Media sockets on which `start` has not come.
    pub(crate) openers: Openers,
    pub(crate) mint: Mint,
    pub(crate) admin_token: Option<TokenEq>,
    /// Name of this process among others.
    pub(crate) node: String,
    /// `https://…` without a slash at the end, as Twilio knows us.
    pub(crate) public_http: String,
    /// `wss://…` likewise.
    pub(crate) public_ws: String,
    pub(crate) tap: Option<Tap>,
    pub(crate) tools: Arc<ToolBox>,
    profiles: BTreeMap<String, (Arc<AgentProfile>, Arc<str>)>,
    default_profile: Arc<AgentProfile>,
    draining: AtomicBool,
}

impl House {
    pub(crate) fn new(
        settings: Settings,
        registry: Addr<Registry>,
        store: Arc<dyn CallStore>,
        metrics: Arc<Metrics>,
        gate: Arc<Gate>,
        mint: Mint,
        public_base: String,
        tap: Option<Tap>,
        tools: Arc<ToolBox>,
    ) -> Result<Self, ProfileError> {
        let targets: Vec<String> = settings.transfer_targets.keys().cloned().collect();
        let around = Around {
            targets: &targets,
            tools: &tools,
            configured: &settings.tools,
        };
        let mut profiles = BTreeMap::new();
        for (name, agent) in settings.agents() {
            for tool in crate::profile::unavailable(agent, &around) {
                log::warn!(target: "switchboard", agent = name.as_str(), tool; "tool is not built yet and is not offered to the model");
            }
            let url: Arc<str> = settings.openai.url_for(&agent.model.name).as_str().into();
            profiles.insert(
                name.clone(),
                (crate::profile::profile(agent, &around)?, url),
            );
        }
        let default_profile = crate::profile::profile(settings.default_agent(), &around)?;
        let admin_token = match &settings.server.trust {
            Trust::Dev { .. } => None,
            Trust::Verified { admin_token, .. } => Some(TokenEq::new(admin_token)),
        };
        let public_ws = public_base.replacen("http", "ws", 1);
        Ok(Self {
            default_profile,
            registry,
            store,
            metrics,
            gate,
            openers: Openers::default(),
            mint,
            admin_token,
            node: node_name(),
            public_http: public_base,
            public_ws,
            tap,
            tools,
            profiles,
            draining: AtomicBool::new(false),
            settings,
        })
    }

    /// Who answers a number.
    pub(crate) fn profile_for(&self, called: &str) -> Arc<AgentProfile> {
        let (name, _) = self.settings.agent_for(called);
        self.profile(name)
    }

    /// The profile of an agent; the default agent's if there is none by that name.
    pub(crate) fn profile(&self, name: &str) -> Arc<AgentProfile> {
        self.profiles.get(name).map_or_else(
            || self.default_profile.clone(),
            |(profile, _)| profile.clone(),
        )
    }

    /// The agent's fallback: what the caller hears when the model cannot be had.
    pub(crate) fn fallback(&self, agent: &str) -> &Fallback {
        self.settings
            .agent(agent)
            .map_or(&self.settings.fallback, |agent| &agent.fallback)
    }

    /// The URL of an agent's model socket.
    pub(crate) fn model_url(&self, agent: &str) -> Arc<str> {
        let found = self
            .profiles
            .get(agent)
            .or_else(|| self.profiles.values().next());
        found.map_or_else(|| Arc::from(""), |(_, url)| url.clone())
    }

    /// What a call on an accepted socket is started with.
    pub(crate) fn seed(
        &self,
        place: DownGuard,
        visit: Option<Visit>,
        early: Option<ModelLine>,
        opener: Opener,
        dialler: &Dialler,
    ) -> CallSeed {
        let agent = visit
            .as_ref()
            .map_or_else(|| self.profile(""), |visit| visit.agent.clone());
        let settings = self.settings.agent(&agent.name);
        let model_url = self.model_url(&agent.name);
        CallSeed {
            place,
            visit,
            max_length: settings.map_or(self.settings.limits.max_call, |agent| agent.max_call),
            agent,
            model_url,
            early,
            opener: Some(Box::new(opener)),
            dialler: dialler.clone(),
            tools: self.tools.clone(),
            registry: self.registry.clone(),
            store: self.store.clone(),
            shared: Shared::new(self.metrics.clone(), self.gate.clone(), self.tap.clone()),
        }
    }

    /// Asks the registry; `None` if it does not answer.
    pub(crate) async fn ask<M>(&self, question: M) -> Option<M::Result>
    where
        Registry: actix::Handler<M>,
        M: actix::Message + Send + 'static,
        M::Result: Send,
    {
        let answer = actix::clock::timeout(REGISTRY_ANSWERS, self.registry.send(question)).await;
        answer.ok()?.ok()
    }

    /// Whether no new call is taken because the process leaves.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Takes no more calls; says whether it did until now.
    pub(crate) fn drain(&self) -> bool {
        let first = !self.draining.swap(true, Ordering::Relaxed);
        if first {
            self.registry.do_send(switchboard_actors::messages::Drain);
        }
        first
    }
}

/// The host's name, or the process's number where it has none.
fn node_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => std::process::id().to_string(),
        name => name.to_owned(),
    }
}

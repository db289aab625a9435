//! What both listeners share, in small parts: none of them knows all.

use std::sync::{Arc, Mutex};

use actix_web::web;
use call_protocol::phone::AccountSid;
use switchboard_actors::call::Tap;
use switchboard_actors::metrics::Metrics;
use switchboard_actors::store::CallStore;
use switchboard_actors::twilio::rest::Rest;

use super::reload::{ConfigReloader, Reloaded};
use crate::admin::state::{AdminState, node_name};
use crate::agents::catalog::ToolContext;
use crate::agents::routing::{AnsweringError, ConfigHistory};
use crate::calls::consult::Carrier;
use crate::calls::media_slot::Sockets;
use crate::calls::{CallTable, Calls};
use crate::listener::origin::Names;
use crate::listener::refusals::Refusals;
use crate::phone::address::PublicAddress;
use crate::phone::pending_streams::PendingStreams;
use crate::phone::state::PhoneState;
use crate::phone::twilio::consult::gone;
use crate::settings::{DialAt, Settings};
use crate::trust::Keyring;

/// What the parts are made of.
pub(super) struct StateParts {
    pub(super) table: CallTable,
    pub(super) store: Arc<dyn CallStore>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) rest: Option<Arc<Rest>>,
    pub(super) tap: Option<Tap>,
}

/// The parts.
pub(super) struct State {
    pub(super) calls: Arc<Calls>,
    pub(super) agents: Arc<ConfigHistory>,
    pub(super) refusals: Arc<Refusals>,
    /// The public listener's.
    pub(super) phone: web::Data<PhoneState>,
    /// The admin listener's.
    pub(super) admin: web::Data<AdminState>,
    pub(super) reloader: ConfigReloader,
}

impl State {
    /// For a service at `base`, its address as Twilio knows it.
    pub(super) fn new(
        settings: Settings,
        base: String,
        parts: StateParts,
        tools: ToolContext,
    ) -> Result<Self, AnsweringError> {
        let agents = Arc::new(ConfigHistory::new(&settings, tools)?);
        let refusals = Arc::new(Refusals::default());
        let (metrics, keyring) = (parts.metrics.clone(), parts.keyring.clone());
        let rest = parts.rest.clone();
        let calls = Arc::new(calls(&settings, &base, parts, agents.clone()));
        let admin = AdminState {
            calls: calls.clone(),
            keyring: keyring.clone(),
            names: admin_names(&settings),
            node: node_name(),
            attempts: crate::admin::attempts::Attempts::default(),
            metrics: metrics.clone(),
            refusals: refusals.clone(),
        };
        let phone = PhoneState {
            calls: calls.clone(),
            agents: agents.clone(),
            keyring: keyring.clone(),
            address: PublicAddress::new(base, &settings),
            stream_signature: settings.twilio.stream_signature,
            pending_streams: PendingStreams::default(),
            metrics,
            refusals: refusals.clone(),
        };
        let reloaded = Reloaded {
            agents: agents.clone(),
            keyring,
            rest,
            last: Mutex::new(settings.clone()),
            first: settings,
        };
        Ok(Self {
            calls,
            agents,
            refusals,
            phone: web::Data::new(phone),
            admin: web::Data::new(admin),
            reloader: ConfigReloader(Arc::new(reloaded)),
        })
    }
}

/// What the use cases work with.
fn calls(settings: &Settings, base: &str, parts: StateParts, agents: Arc<ConfigHistory>) -> Calls {
    let credentials = settings.twilio.rest.as_ref();
    let sockets = Sockets {
        account: credentials.and_then(|rest| AccountSid::parse(&rest.account_sid)),
        tap: parts.tap,
        transcripts: settings.log.transcripts,
    };
    let carrier = parts.rest.map(|rest| Carrier {
        rest,
        base: base.to_owned(),
        gone: gone().to_xml().ok(),
    });
    Calls {
        table: parts.table,
        store: parts.store,
        process: random_number(),
        agents,
        keyring: parts.keyring,
        metrics: parts.metrics,
        carrier,
        sockets,
        dials_early: settings.openai.dial == DialAt::Webhook,
        drain_within: settings.limits.drain,
    }
}

/// Under which names the operator reaches their listener.
fn admin_names(settings: &Settings) -> Names<'static> {
    if settings.is_dev() {
        Names::Loopback { public_url: None }
    } else {
        Names::Any
    }
}

/// The standard library's own seed, which nobody can foresee.
fn random_number() -> i64 {
    let seeded = std::hash::RandomState::new();
    std::hash::BuildHasher::hash_one(&seeded, std::process::id()).cast_signed()
}

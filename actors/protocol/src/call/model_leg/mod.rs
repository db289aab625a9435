//! The model leg: the session in use, the one that waits to take its place, and how often another is dialled.

mod events;
mod handshake;
mod lifecycle;
mod rollover;

use std::time::Duration;

use super::context_notes::Notes;
use crate::audio::payload::Payload;
use crate::ids::ModelId;
use crate::model::backoff::Backoff;
use crate::model::config_part::Part;
use crate::model::preroll::Preroll;
use crate::model::session::{Extent, ModelSession, Phase, Ready, SessionId};
use crate::time::Time;
use rollover::Plan;

/// Parts of a configuration left out one by one; a server that refuses more is asked for the least.
const MOST_LEFT_OUT: usize = 8;

/// What a session of the leg is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is the one the caller talks to.
    Current,
    /// It waits to take that one's place.
    Standby,
}

/// The sessions of a call.
#[derive(Debug)]
pub(super) struct ModelLeg {
    current: ModelSession,
    standby: Option<Standby>,
    /// Sessions dialled so far; the last one's number.
    dialled: u32,
    /// Sessions that were in use so far.
    begun: u32,
    /// Parts of the configuration that a server refused; no session of this call is asked for them again.
    left_out: Vec<Part>,
    backoff: Backoff,
    /// When the session after the one in use is opened, and taken.
    plan: Option<Plan>,
    /// Times the session after it could not be had.
    failures: u32,
    /// What the caller said while there was no session.
    preroll: Preroll,
    /// What every session is told besides the conversation.
    pub(super) notes: Notes,
}

/// A session that waits to take the place of the one in use.
#[derive(Debug)]
struct Standby {
    session: ModelSession,
    /// The turns it was told, once it is ready.
    told: u64,
    /// What the caller has said since.
    recent: Preroll,
}

/// What is known of a session that has just taken the other's place.
#[derive(Debug)]
pub(super) struct Taken {
    /// The one before.
    pub(super) old: SessionId,
    /// The turns the new one was told.
    pub(super) told: u64,
    /// What the caller has said since.
    pub(super) recent: Preroll,
}

/// What of a leg outlives the machine: plain numbers, and which sessions may be open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remains {
    dialled: u32,
    begun: u32,
    pub(super) current: SessionId,
    pub(super) standby: Option<SessionId>,
}

/// What is asked of it.
impl ModelLeg {
    /// A leg that has dialled nothing.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            current: ModelSession::none(),
            standby: None,
            dialled: 0,
            begun: 0,
            left_out: Vec::new(),
            backoff: Backoff::new(seed),
            plan: None,
            failures: 0,
            preroll: Preroll::default(),
            notes: Notes::default(),
        }
    }

    /// A leg without sessions that goes on counting where another stopped.
    pub(super) fn after(remains: Remains, seed: u64) -> Self {
        Self {
            dialled: remains.dialled,
            begun: remains.begun,
            ..Self::new(seed)
        }
    }

    /// The leg of another agent: nothing is known of its server, and no id is given twice.
    pub(super) fn anew(remains: Remains, seed: u64) -> Self {
        Self {
            dialled: remains.dialled,
            ..Self::new(seed)
        }
    }

    /// What outlives it.
    pub(super) fn remains(&self) -> Remains {
        Remains {
            dialled: self.dialled,
            begun: self.begun,
            current: self.current.id(),
            standby: self.standby.as_ref().map(|standby| standby.session.id()),
        }
    }

    /// What a session is for; `None` if the leg has let go of it, or never had it.
    pub(super) fn role_of(&self, id: SessionId) -> Option<Role> {
        if self.current.id() == id {
            return Some(Role::Current);
        }
        let standby = self.standby.as_ref();
        standby
            .is_some_and(|standby| standby.session.id() == id)
            .then_some(Role::Standby)
    }

    /// The session in use, whatever its phase.
    pub(super) const fn current(&self) -> &ModelSession {
        &self.current
    }

    /// A session by its role.
    pub(super) fn session(&self, role: Role) -> Option<&ModelSession> {
        match role {
            Role::Current => Some(&self.current),
            Role::Standby => self.standby.as_ref().map(|standby| &standby.session),
        }
    }

    pub(super) fn session_mut(&mut self, role: Role) -> Option<&mut ModelSession> {
        match role {
            Role::Current => Some(&mut self.current),
            Role::Standby => self.standby.as_mut().map(|standby| &mut standby.session),
        }
    }

    /// The session that may be talked to.
    pub(super) const fn ready(&self) -> Option<&Ready> {
        self.current.ready()
    }

    pub(super) const fn ready_mut(&mut self) -> Option<&mut Ready> {
        self.current.ready_mut()
    }

    /// Whether there is a session to talk to.
    pub(super) const fn is_ready(&self) -> bool {
        self.ready().is_some()
    }

    /// Whether there is no session, and none will be.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.current.phase(), Phase::Over)
    }

    /// Whether a session was in use before.
    pub(super) const fn had_one(&self) -> bool {
        self.begun > 0
    }

    /// The leg's state as the admin pages know it.
    pub(super) const fn label(&self) -> &'static str {
        match self.current.phase() {
            Phase::Ready(_) => "ready",
            Phase::Over => "lost",
            Phase::Dialling { .. } | Phase::Configuring(_) | Phase::Draining if self.had_one() => {
                "reconnecting"
            }
            Phase::Dialling { .. } | Phase::Configuring(_) | Phase::Draining => "dialling",
        }
    }

    /// Whether servers have refused this part of the configuration.
    pub(super) fn is_left_out(&self, part: &Part) -> bool {
        self.left_out.contains(part)
    }

    /// Whether all that the caller said is with a session.
    pub(super) fn is_caught_up(&self) -> bool {
        self.preroll.is_empty()
    }

    /// Whether a session waits, ready, to take the place of the one in use.
    pub(super) fn has_next(&self) -> bool {
        let standby = self.standby.as_ref();
        standby.is_some_and(|standby| standby.session.ready().is_some())
    }
}

/// What happens to it.
impl ModelLeg {
    /// Another session is dialled, to be used as soon as it is ready. Until when a session is waited for at all.
    pub(super) fn dial(&mut self, now: Time) -> (SessionId, Time) {
        let id = self.next_id();
        self.current = ModelSession::dial(id, now);
        (id, self.backoff.down(now))
    }

    /// A session is dialled that is to take the place of the one in use.
    pub(super) fn dial_standby(&mut self, now: Time) -> SessionId {
        let id = self.next_id();
        self.standby = Some(Standby {
            session: ModelSession::dial(id, now),
            told: 0,
            recent: Preroll::default(),
        });
        id
    }

    const fn next_id(&mut self) -> SessionId {
        self.dialled += 1;
        SessionId::new(self.dialled)
    }

    /// A session is asked for so much; the request's id.
    pub(super) fn configure(&mut self, role: Role, extent: Extent) -> Option<(SessionId, String)> {
        let (number, left_out) = (self.begun + 1, self.left_out.len());
        let session = self.session_mut(role)?;
        let request = session.configure(number, extent, left_out)?;
        Some((session.id(), request))
    }

    /// Until when a session is waited for at all.
    pub(super) fn wait_until(&mut self, now: Time) -> Time {
        self.backoff.down(now)
    }

    /// The session in use is ready: the wait for one is over.
    pub(super) fn up(&mut self) {
        self.backoff.up();
    }

    /// A session is taken into use.
    pub(super) fn begin(&mut self) {
        self.begun += 1;
        self.current.forgive();
    }

    /// The session after the one that begins is planned.
    fn plan(&mut self, plan: Plan) {
        self.plan = Some(plan);
        self.failures = 0;
    }

    /// What is planned for the session after the one in use.
    const fn planned(&self) -> Option<Plan> {
        self.plan
    }

    /// The session after the one in use is not to be had: when it is tried again.
    pub(super) fn try_again(&mut self, now: Time) -> Option<Time> {
        self.failures = self.failures.saturating_add(1);
        self.plan.map(|plan| plan.again(self.failures, now))
    }

    /// The session that waits was told so many turns.
    pub(super) fn told_standby(&mut self, turns: u64) {
        if let Some(standby) = &mut self.standby {
            standby.told = turns;
        }
    }

    /// What the caller says while the next session waits may be its to answer.
    pub(super) fn keep_for_standby(&mut self, payload: &Payload) {
        if let Some(standby) = &mut self.standby
            && standby.session.ready().is_some()
        {
            standby.recent.hold(payload);
        }
    }

    /// There is no session for this, or something is to be said before it: kept for later. Bytes of the oldest that had to
    /// go.
    pub(super) fn keep_for_later(&mut self, payload: &Payload) -> u64 {
        self.preroll.hold(payload)
    }

    /// The next stretch of what the caller said while there was no session.
    pub(super) fn deliver(&mut self) -> Option<Payload> {
        self.preroll.deliver()
    }

    /// What the caller said to the session before may be the new one's to answer.
    pub(super) fn hand_over(&mut self, recent: Preroll) {
        if self.preroll.is_empty() {
            self.preroll = recent;
        }
    }

    /// Nobody will hear what waits.
    pub(super) fn forget_preroll(&mut self) {
        self.preroll = Preroll::default();
    }

    /// The session that waits takes the place of the one in use.
    pub(super) fn take_standby(&mut self) -> Option<Taken> {
        let standby = self
            .standby
            .take_if(|standby| standby.session.ready().is_some())?;
        let old = std::mem::replace(&mut self.current, standby.session);
        Some(Taken {
            old: old.id(),
            told: standby.told,
            recent: standby.recent,
        })
    }

    /// The session that waits, or was to, is let go of.
    pub(super) fn drop_standby(&mut self) -> Option<SessionId> {
        let standby = self.standby.take();
        standby.map(|standby| standby.session.id())
    }

    /// The session in use is let go of, and another will be dialled.
    pub(super) fn let_go(&mut self) {
        self.current.let_go();
    }

    /// The session in use is gone, and no other comes.
    pub(super) fn give_up(&mut self) {
        self.current.give_up();
    }

    /// A dial or a session failed: how long to wait before the next dial, if there is one.
    pub(super) fn failed(&mut self, named: Option<Duration>, now: Time) -> Option<Duration> {
        self.backoff.failed_until(named, now)
    }

    /// A wait that a server named, or a little more.
    pub(super) fn spread(&mut self, wait: Duration) -> Duration {
        self.backoff.spread(wait)
    }

    /// A part of the configuration is not asked for any more; false if too many are not.
    pub(super) fn leave_out(&mut self, part: Part) -> bool {
        let has_room = self.left_out.len() < MOST_LEFT_OUT;
        if has_room {
            self.left_out.push(part);
        }
        has_room
    }

    /// Parts that are not asked for.
    pub(super) fn left_out(&self) -> &[Part] {
        &self.left_out
    }

    /// The server's name for the session in use.
    pub(super) fn name(&self) -> Option<ModelId> {
        self.current.name().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::AudioFormat;
    use crate::model::event::SessionInfo;
    use crate::model::session::Configured;

    fn info() -> SessionInfo {
        SessionInfo {
            id: Some(ModelId::new("sess_1")),
            input: Some(AudioFormat::Mulaw),
            output: Some(AudioFormat::Mulaw),
            ..SessionInfo::default()
        }
    }

    fn ready(leg: &mut ModelLeg, role: Role) {
        leg.configure(role, Extent::All)
            .expect("a session to configure");
        let session = leg.session_mut(role).expect("a session");
        let configured = session.configured(&info(), None);
        assert!(matches!(configured, Configured::Ready(_)));
    }

    #[test]
    fn each_session_has_its_own_id_and_its_role_by_it() {
        let mut leg = ModelLeg::new(7);
        let (first, _) = leg.dial(Time::ZERO);
        ready(&mut leg, Role::Current);
        leg.begin();
        let next = leg.dial_standby(Time::ZERO);
        assert_eq!(leg.role_of(first), Some(Role::Current));
        assert_eq!(leg.role_of(next), Some(Role::Standby));
        assert_eq!(leg.role_of(SessionId::new(3)), None);
        assert!(leg.take_standby().is_none(), "it is not ready");
        ready(&mut leg, Role::Standby);
        let taken = leg.take_standby().expect("it is ready");
        assert_eq!((taken.old, leg.current().id()), (first, next));
        assert_eq!(leg.role_of(first), None, "the leg has let go of it");
        assert!(leg.is_ready() && leg.drop_standby().is_none());
    }

    #[test]
    fn a_leg_after_a_fault_gives_no_id_twice() {
        let mut leg = ModelLeg::new(7);
        leg.dial(Time::ZERO);
        let last = leg.dial_standby(Time::ZERO);
        let remains = leg.remains();
        assert_eq!(remains.standby, Some(last));
        let (id, _) = ModelLeg::after(remains, 7).dial(Time::ZERO);
        assert!(id > last);
    }

    #[test]
    fn a_leg_is_known_by_its_session_in_use() {
        let mut leg = ModelLeg::new(7);
        leg.dial(Time::ZERO);
        assert_eq!(leg.label(), "dialling");
        ready(&mut leg, Role::Current);
        leg.begin();
        assert_eq!(leg.label(), "ready");
        leg.let_go();
        assert_eq!(leg.label(), "reconnecting");
        leg.give_up();
        assert_eq!((leg.label(), leg.is_lost()), ("lost", true));
    }
}

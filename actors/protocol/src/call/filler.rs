//! The caller waits for the agent: what they hear meanwhile, and how long the model may keep them waiting.
//!
//! The filler is played through the ledger like a clip, but it is no word of the agent: no transcript has it, no
//! session is told of it, and it stops the moment there is something to say.

use std::time::Duration;

use super::outcome::EndReason;
use super::timers::Timer;
use super::{Call, LOCAL};
use crate::ids::{ModelId, PartKey};
use crate::model::link::Link;
use crate::time::Time;

/// Silence after which a caller wonders whether the line is dead.
pub const FILLER_AFTER: Duration = Duration::from_secs(2);

/// The item under which the ledger books the filler.
const FILLER: &str = "filler";

/// What is known of the caller's wait.
#[derive(Debug, Default)]
pub(super) struct Wait {
    filler: Filler,
    /// Bytes of filler the caller heard, before the one that plays.
    filler_heard: u64,
    /// Times in a row the model said nothing for too long.
    stalls: u8,
}

#[derive(Debug, Default)]
enum Filler {
    #[default]
    Silent,
    Playing {
        /// Bytes of the agent's own that the caller had heard when it began.
        agent_heard: u64,
    },
}

impl Wait {
    pub(super) const fn is_filled(&self) -> bool {
        matches!(self.filler, Filler::Playing { .. })
    }

    /// The ledger was begun anew.
    pub(super) fn forget_ledger(&mut self) {
        self.filler = Filler::Silent;
        self.filler_heard = 0;
    }

    /// The agent speaks.
    pub(super) const fn answered(&mut self) {
        self.stalls = 0;
    }
}

/// Whether a part of the ledger is filler.
pub(super) fn is_filler(key: &PartKey) -> bool {
    key.item.as_str() == FILLER && key.response.as_str() == LOCAL
}

impl Call {
    /// Whether the caller hears filler, and nothing else.
    pub(super) const fn is_filled(&self) -> bool {
        self.wait.is_filled()
    }

    /// Whether the caller is there, hears nothing of the agent, and it is the agent's turn.
    fn caller_waits(&self, now: Time) -> bool {
        self.state.stream().is_some() && self.floor.caller_waits(self.around(now))
    }

    /// After every event but a frame: does the caller wait, and for whom?
    pub(super) fn watch_wait(&mut self, now: Time) {
        if !self.caller_waits(now) {
            self.timers.stop(Timer::Wait);
            self.timers.stop(Timer::Answer);
            let goes_on = self.floor.caller_speaks() && self.setup.agent.protected.filler;
            if !goes_on {
                self.stop_filler(now);
            }
            return;
        }
        let is_fillable = self.setup.agent.filler.is_some() && !self.is_filled();
        if is_fillable && !self.timers.is_set(Timer::Wait) {
            let after = FILLER_AFTER.saturating_sub(self.silence_so_far());
            self.timers.set(Timer::Wait, now + after);
        }
        // A wait that the server named, a session that is being opened, or a tool that runs is not silence of the model.
        let is_anothers = self.floor.has_failed() || self.runs.awaits();
        if !matches!(self.link, Link::Ready(_)) || is_anothers {
            self.timers.stop(Timer::Answer);
        } else if !self.timers.is_set(Timer::Answer) {
            self.timers
                .set(Timer::Answer, now + self.patience_with_answer());
        }
    }

    /// A caller who has just ended their turn has been silent for as long as it took the server to find that out; one whom
    /// nobody heard may have waited for long.
    fn silence_so_far(&self) -> Duration {
        if self.floor.may_be_unheard() {
            return FILLER_AFTER;
        }
        let turns = self
            .turn_detection()
            .filter(|_| self.floor.silent_since().is_some());
        let ms = turns.map_or(0, |turns| turns.silence_ms());
        Duration::from_millis(ms.into()).min(FILLER_AFTER / 2)
    }

    // ---- the filler ----

    /// The caller has waited in silence, or has heard the filler to its end and waits on.
    pub(super) fn play_filler(&mut self, now: Time) {
        let Some(audio) = self.setup.agent.filler.clone() else {
            return;
        };
        if !self.caller_waits(now) {
            self.stop_filler(now);
            return;
        }
        if !self.is_filled() {
            self.wait.filler = Filler::Playing {
                agent_heard: self.agent_heard_bytes(now),
            };
        }
        let key = PartKey {
            response: ModelId::new(LOCAL),
            item: ModelId::new(FILLER),
            part: 0,
        };
        self.with_playback(now, |playback, mut out| {
            playback.play(&key, audio, now, &mut out);
            playback.finish(&key, now, &mut out);
        });
    }

    /// The filler was heard to its end.
    pub(super) fn on_filler_heard(&mut self, now: Time) {
        if self.is_filled() {
            self.play_filler(now);
        }
    }

    /// There is something to say, or nobody waits any more: what was not heard of the filler is taken back.
    pub(super) fn stop_filler(&mut self, now: Time) {
        if !self.is_filled() {
            return;
        }
        let agent_heard = self.agent_heard_bytes(now);
        self.wait.filler = Filler::Silent;
        let Some(playback) = self.state.playback_mut() else {
            return;
        };
        let interruption = playback.interrupt(now);
        self.wait.filler_heard = playback.totals(now).heard.saturating_sub(agent_heard);
        if interruption.clear {
            self.clear_phone();
        }
        // Of the agent's own nothing is left unheard, but perhaps something untold.
        for part in interruption
            .parts
            .iter()
            .filter(|part| !is_filler(&part.key))
        {
            self.settle(part, now);
        }
        self.timers.stop(Timer::Playback);
        self.timers.stop(Timer::Acknowledge);
    }

    /// The call ends: what is left of the filler needs no word any more.
    pub(super) fn forget_filler(&mut self) {
        self.wait.filler = Filler::Silent;
    }

    /// Bytes of the agent's own audio that the caller has heard on this stream.
    pub(super) fn agent_heard_bytes(&self, now: Time) -> u64 {
        match self.wait.filler {
            Filler::Playing { agent_heard } => agent_heard,
            Filler::Silent => {
                let playback = self.state.playback();
                let heard = playback.map_or(0, |playback| playback.totals(now).heard);
                heard.saturating_sub(self.wait.filler_heard)
            }
        }
    }

    // ---- a model that says nothing ----

    /// How long the model may be silent: as long as set the first time, then less, so that a caller it never answers
    /// is looked after within sixteen seconds by default.
    fn patience_with_answer(&self) -> Duration {
        let set = self.setup.agent.answer_within;
        if self.wait.stalls == 0 {
            set
        } else {
            set * 3 / 8
        }
    }

    /// The model has said nothing for too long: it is asked again, then another session is, then somebody else.
    pub(super) fn on_answer_due(&mut self, now: Time) {
        self.wait.stalls = self.wait.stalls.saturating_add(1);
        match self.wait.stalls {
            1 => {
                if let Some(command) = self.floor.ask_anew() {
                    self.ask_model(command);
                }
            }
            2 => self.lose_model("silent", false, now),
            _ => self.end(EndReason::ModelSilent, now),
        }
    }
}

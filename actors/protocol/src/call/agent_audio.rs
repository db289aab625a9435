//! The agent's voice: from the session through the codec guard into the ledger.

use super::Call;
use super::effect::{Peer, Report};
use super::state::State;
use crate::codec::Passed;
use crate::model::link::Link;
use crate::model::responses::Verdict;
use crate::payload::Payload;
use crate::playback::{PartKey, Taken};
use crate::time::Time;

impl Call {
    /// The model's audio is not what was asked for.
    pub(super) fn found_linear(&mut self) {
        self.violation(Peer::Model, "wrong_format");
        self.report(Report::Transcoding);
    }

    /// Passes model audio through the codec guard.
    fn guarded(&mut self, payload: Payload) -> Option<Payload> {
        let Link::Ready(session) = &mut self.link else {
            return None;
        };
        let before = session.guard.is_transcoding();
        let passed = session.guard.pass(payload);
        let found = !before && session.guard.is_transcoding();
        if found {
            self.found_linear();
        }
        match passed {
            Passed::Audio(payload) => Some(payload),
            Passed::Nothing => None,
        }
    }

    pub(super) fn on_model_audio(&mut self, key: PartKey, payload: Payload, now: Time) {
        let mut bytes = payload.audio_bytes() as u64;
        match self.responses.verdict(&key.response) {
            Verdict::Play => {}
            Verdict::Discard => {
                self.drop_agent_audio(bytes, "interrupted");
                return;
            }
            Verdict::Unknown => {
                self.violation(Peer::Model, "unknown_response");
                self.drop_agent_audio(bytes, "unknown_response");
                return;
            }
        }
        self.responses.speaks(&key.response);
        let Some(payload) = self.guarded(payload) else {
            return;
        };
        bytes = payload.audio_bytes() as u64;
        self.book(key, payload, bytes, now);
    }

    /// Books the model's µ-law and sends as much as the lead allows.
    fn book(&mut self, key: PartKey, payload: Payload, bytes: u64, now: Time) {
        let turn = self.conversation.agent_audio(&key.item, now);
        if turn.model_ms.is_none()
            && let Some(since) = self.silent_since
        {
            turn.model_ms = Some(now.millis_since(since));
        }
        self.owes_answer = false;
        self.failed_in_a_row = 0;
        let waited = self.silent_since;
        let taken = match &mut self.state {
            State::Accepted(opening) | State::Connected(opening) => {
                opening.held.hold(&key, &payload)
            }
            State::Start(_) | State::Media(_) => {
                let play = self.with_playback(now, |playback, mut out| {
                    playback.play(&key, payload, now, &mut out)
                });
                play.unwrap_or(Taken::OutOfTurn)
            }
            State::Stop(_) => return,
        };
        if waited.is_some() && self.silent_since.is_none() {
            let latency = waited.map(|since| now.millis_since(since));
            self.conversation.agent_audio(&key.item, now).latency_ms = latency;
        }
        match taken {
            Taken::Booked => {}
            Taken::Full => self.drop_agent_audio(bytes, "queue_full"),
            Taken::OutOfTurn => {
                self.violation(Peer::Model, "audio_after_part");
                self.drop_agent_audio(bytes, "out_of_turn");
            }
        }
    }

    fn drop_agent_audio(&mut self, bytes: u64, why: &'static str) {
        self.tally.dropped_bytes += bytes;
        self.report(Report::AgentAudioDropped { bytes, why });
    }

    pub(super) fn on_audio_done(&mut self, key: &PartKey, now: Time) {
        let wanted = self.responses.verdict(&key.response) == Verdict::Play;
        if let Link::Ready(session) = &mut self.link
            && let Passed::Audio(rest) = session.guard.finish()
            && wanted
        {
            let bytes = rest.audio_bytes() as u64;
            self.book(key.clone(), rest, bytes, now);
        }
        match &mut self.state {
            State::Accepted(opening) | State::Connected(opening) => opening.held.finish_held(key),
            State::Start(_) | State::Media(_) => {
                self.with_playback(now, |playback, mut out| playback.finish(key, now, &mut out));
            }
            State::Stop(_) => {}
        }
    }
}

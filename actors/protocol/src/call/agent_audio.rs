//! The agent's voice: from the session through the codec guard into the ledger.

use super::Call;
use super::effect::{Peer, Report};
use super::state::State;
use crate::audio::guard::Guard;
use crate::audio::payload::Payload;
use crate::ids::{ModelId, PartKey};
use crate::model::link::Link;
use crate::model::responses::Verdict;
use crate::phone::playback::Taken;
use crate::time::Time;

impl Call {
    /// The model's audio is not what was asked for.
    pub(super) fn found_linear(&mut self) {
        self.violation(Peer::Model, "wrong_format");
        self.report(Report::Transcoding);
    }

    /// Runs the codec guard of the session, and tells when it finds something out.
    fn guarded<T>(&mut self, act: impl FnOnce(&mut Guard) -> Option<T>) -> Option<T> {
        let Link::Ready(session) = &mut self.link else {
            return None;
        };
        let before = session.guard.is_transcoding();
        let result = act(&mut session.guard);
        if !before && session.guard.is_transcoding() {
            self.found_linear();
        }
        result
    }

    pub(super) fn on_model_audio(&mut self, key: PartKey, payload: Payload, now: Time) {
        let bytes = payload.audio_bytes() as u64;
        match self.floor.verdict(&key.response) {
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
        if bytes == 0 {
            // Nothing to hear.
            return;
        }
        if !self.floor.spoke(&key.response) {
            self.on_first_word(&key.response);
            self.floor.speaks(&key.response);
        }
        if let Some(payload) = self.guarded(|guard| guard.pass(&key, payload)) {
            self.book(key, payload, now);
        }
    }

    /// Books the model's µ-law and sends as much as the lead allows.
    fn book(&mut self, key: PartKey, payload: Payload, now: Time) {
        let bytes = payload.audio_bytes() as u64;
        let turn = self.conversation.agent_audio(&key.item, now);
        if turn.model_ms.is_none()
            && let Some(since) = self.floor.silent_since()
        {
            turn.model_ms = Some(now.millis_since(since));
            turn.caller_silent_since = Some(since);
        }
        self.stop_filler(now);
        self.floor.answered_by(&key.response);
        self.wait.answered();
        let waited = self.floor.silent_since();
        let taken = match &mut self.state {
            State::Accepted(opening) | State::Connected(opening) => {
                opening.held.hold(&key, &payload)
            }
            State::Away(absence) => absence.held.hold(&key, &payload),
            State::Start(_) | State::Media(_) => {
                let play = self.with_playback(now, |playback, mut out| {
                    playback.play(&key, payload, now, &mut out)
                });
                play.unwrap_or(Taken::OutOfTurn)
            }
            State::Stop(_) => return,
        };
        if waited.is_some() && self.floor.silent_since().is_none() {
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

    /// Responses bring no more audio: of a part that was not said to be over, too, what waits is played.
    pub(super) fn finish_audio(&mut self, is_over: impl Fn(&ModelId) -> bool, now: Time) {
        let waiting = match &self.link {
            Link::Ready(session) => session.guard.waiting_part().cloned(),
            Link::Dialling { .. } | Link::Configuring(_) | Link::Waiting | Link::Lost => None,
        };
        if let Some(part) = waiting.filter(|part| is_over(&part.response)) {
            self.on_audio_done(&part, now);
        }
        if let Some(playback) = self.state.playback_mut() {
            playback.finish_responses(is_over);
        }
        self.pump(now);
    }

    pub(super) fn on_audio_done(&mut self, key: &PartKey, now: Time) {
        if self.floor.verdict(&key.response) == Verdict::Play
            && let Some(rest) = self.guarded(|guard| guard.finish(key))
        {
            self.book(key.clone(), rest, now);
        }
        match &mut self.state {
            State::Accepted(opening) | State::Connected(opening) => opening.held.finish_held(key),
            State::Away(absence) => absence.held.finish_held(key),
            State::Start(_) | State::Media(_) => {
                self.with_playback(now, |playback, mut out| playback.finish(key, now, &mut out));
            }
            State::Stop(_) => {}
        }
    }
}

//! Reports of the machine as log lines and counters.

use std::time::{Duration, Instant, SystemTime};

use call_protocol::call::ADOPT_WITHIN;
use call_protocol::call::effect::{Report, Summary};
use call_protocol::conversation::{Speaker, Turn};
use call_protocol::model::openai::errors::{is_of_the_account, rate_limit};

use super::actor::CallActor;
use super::last_line::LastLine;
use crate::events::{CallEvent, EventKind};

/// Target of every line about a call.
const TARGET: &str = "switchboard::call";

macro_rules! line {
    ($level:ident, $actor:expr, $($field:tt)*) => {
        log::$level!(target: TARGET, call_sid = $actor.log.call(), stream_sid = $actor.log.stream(), $($field)*)
    };
}

impl CallActor {
    pub(super) fn tell(&mut self, report: Report) {
        self.observe(&report);
        self.publish(EventKind::Report(report));
    }

    /// Tells whoever watches calls.
    pub(super) fn publish(&self, kind: EventKind) {
        self.shared.events.publish(|seq| CallEvent {
            call: self.key,
            call_sid: self.log.call,
            stream_sid: self.log.stream,
            at: SystemTime::now(),
            since_accepted: self.shared.accepted().elapsed(),
            seq,
            kind,
        });
    }

    fn observe(&mut self, report: &Report) {
        let metrics = self.shared.metrics.clone();
        match *report {
            Report::State(state) => {
                if self.state != state {
                    metrics.call_moved(self.state.label(), state.label());
                    self.state = state;
                }
                self.push();
            }
            Report::Connected {
                ref protocol,
                ref version,
            } => {
                line!(info, self, protocol = protocol.as_str(), version = version.as_str(); "connected");
            }
            Report::Started {
                stream,
                call,
                refused_parameters,
            } => {
                self.pending_stream = None;
                self.log.stream = Some(stream);
                self.log.call = Some(call);
                line!(info, self, refused_parameters; "start");
                self.push();
            }
            Report::StreamRefused { ref why } => {
                line!(warn, self, why = why.as_str(); "stream refused");
            }
            Report::PhoneAway => {
                self.media_lost = true;
                let grace_ms = ADOPT_WITHIN.as_millis() as u64;
                line!(warn, self, grace_ms; "media socket lost, waiting for another");
            }
            Report::PhoneBack { away_ms } => {
                metrics.resumed("adopted");
                line!(info, self, away_ms; "another media socket took the lost one's place");
            }
            Report::FirstCallerAudio => line!(info, self, state = "media"; "first caller audio"),
            Report::ModelDialled {
                result,
                not_before_ms,
            } => {
                metrics.model_connected(result);
                let now = Instant::now();
                match result {
                    "unauthorized" => self.shared.admission.refused(now),
                    "rate_limited" => {
                        let named = not_before_ms.map(Duration::from_millis);
                        self.shared.admission.rate_limited(named, now);
                    }
                    _ => {}
                }
            }
            Report::ModelReady {
                ref session,
                after_ms,
                again,
            } => {
                let session = session
                    .as_ref()
                    .map(|session| session.to_string())
                    .unwrap_or_default();
                line!(info, self, session_id = session.as_str(), after_ms, again; "model session ready");
                self.shared.admission.opened();
                if let Some(lost) = self.lost_model_at.take() {
                    metrics.model_reconnected(lost.elapsed());
                }
                self.push();
            }
            Report::ModelLost { why, redial } => {
                self.lost_model_at.get_or_insert_with(Instant::now);
                line!(warn, self, why, redial; "model lost");
                self.push();
            }
            Report::RolledOver {
                ref session,
                result,
            } => {
                let session = session
                    .as_ref()
                    .map(|session| session.to_string())
                    .unwrap_or_default();
                metrics.session_rolled_over(result);
                line!(info, self, session_id = session.as_str(), result; "next model session taken");
                self.push();
            }
            Report::RolloverFailed { why } => {
                metrics.session_rolled_over("failed");
                line!(warn, self, why; "next model session could not be opened");
            }
            Report::ModelComplains(ref error) => {
                let code = error.code.as_deref().unwrap_or("none");
                if is_of_the_account(error) {
                    self.shared.admission.refused(Instant::now());
                }
                if let Some(named) = rate_limit(error) {
                    self.shared.admission.rate_limited(named, Instant::now());
                }
                let message = error.message.as_str();
                line!(warn, self, kind = error.kind.as_str(), code, message; "model refused something");
            }
            Report::LeftOut { ref part } => {
                line!(error, self, part = part.as_str(); "model server refuses a part of the configuration, the call goes on without it");
            }
            Report::AnswerCut { ref item, why } => {
                let item = item
                    .as_ref()
                    .map(|item| item.to_string())
                    .unwrap_or_default();
                line!(warn, self, item = item.as_str(), why; "answer cut");
            }
            Report::FirstAgentAudio { after_start_ms } => {
                metrics.first_audio(Duration::from_millis(after_start_ms));
                line!(info, self, after_ms = after_start_ms; "first agent audio");
            }
            Report::Resumed {
                audible,
                after_start_ms,
                turns,
                resumes,
            } => {
                let result = if audible { "ok" } else { "failed" };
                metrics.resumed(result);
                line!(info, self, result, after_ms = after_start_ms, turns, resumes; "resumed");
            }
            Report::Answered { latency_us } => {
                metrics.turn_answered(Duration::from_micros(latency_us))
            }
            Report::Turn(ref turn) => self.tell_turn(turn),
            Report::Transcoding => {
                line!(warn, self, format = "pcm24k"; "model audio is not what was asked for, transcoding");
            }
            Report::Interrupted { heard_ms } => {
                metrics.barge_ins.inc();
                line!(debug, self, heard_ms; "interrupted");
            }
            Report::Violation { peer, kind } => {
                metrics.protocol_violated(peer.label(), kind);
                line!(debug, self, peer = peer.label(), kind; "protocol violation");
            }
            Report::CallerAudioDropped { bytes } => {
                metrics.frames_from_caller.dropped.inc_by(frames(bytes));
            }
            Report::AgentAudioDropped { bytes, why } => {
                metrics.frames_to_caller.dropped.inc_by(frames(bytes));
                line!(trace, self, bytes, why; "agent audio dropped");
            }
            Report::Used { usage, dollars } => {
                for (kind, tokens) in [
                    ("text_in", usage.text_in),
                    ("audio_in", usage.audio_in),
                    ("cached_in", usage.cached_in),
                    ("text_out", usage.text_out),
                    ("audio_out", usage.audio_out),
                ] {
                    metrics.tokens_used(kind, tokens);
                }
                metrics.spent_usd(dollars);
                if let Some(budget) = self.shared.admission.budget() {
                    budget.spend(dollars);
                }
            }
            Report::RateLimits {
                left,
                reset_seconds,
            } => {
                let full_in = Duration::try_from_secs_f64(reset_seconds).unwrap_or_default();
                self.shared.admission.limits(left, full_in, Instant::now());
                if left < 0.1 {
                    line!(warn, self, left, reset_seconds; "model account is near its rate limit");
                }
            }
            // The runner logs and counts the end, also when nobody waits for it.
            Report::ToolStarted { ref tool, number } => {
                line!(debug, self, tool = tool.as_str(), number; "tool started");
            }
            Report::Tool {
                ref tool,
                number,
                result,
                ms,
            } => line!(debug, self, tool = tool.as_str(), number, result, ms; "tool answered"),
            Report::ServerTool {
                ref tool,
                result,
                ms,
            } => {
                let took = Duration::from_millis(ms);
                self.shared.metrics.tool_ran(tool, result, took);
                line!(info, self, tool = tool.as_str(), result, ms; "tool of the model's server");
            }
            Report::Stopped(ref summary) => self.tell_end(summary),
        }
    }

    /// One line a turn: figures, and words only where the operator wants them in the log.
    fn tell_turn(&self, turn: &Turn) {
        if let Some(model_ms) = turn.model_ms {
            let metrics = &self.shared.metrics;
            metrics.model_answered(Duration::from_millis(model_ms));
        }
        let said = turn.said.as_deref().unwrap_or_default();
        let heard = turn.heard.as_deref().unwrap_or_default();
        let latency_ms = turn.latency_ms.unwrap_or(0);
        match (turn.who, self.shared.transcripts) {
            (Speaker::Caller, false) => {
                line!(info, self, who = "caller", at_ms = turn.at_ms; "turn");
            }
            (Speaker::Caller, true) => {
                line!(info, self, who = "caller", at_ms = turn.at_ms, said; "turn");
            }
            (Speaker::Agent, false) => line!(
                info, self, who = "agent", at_ms = turn.at_ms, sent_ms = turn.sent_ms, heard_ms = turn.heard_ms,
                cut = turn.cut, latency_ms; "turn"
            ),
            (Speaker::Agent, true) => line!(
                info, self, who = "agent", at_ms = turn.at_ms, sent_ms = turn.sent_ms, heard_ms = turn.heard_ms,
                cut = turn.cut, latency_ms, said, heard; "turn"
            ),
        }
    }

    fn tell_end(&mut self, summary: &Summary) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        // Nobody is waited for any more.
        self.media_lost = false;
        self.away = None;
        self.push();
        let line = LastLine {
            log: self.log.clone(),
            metrics: self.shared.metrics.clone(),
            state: self.state,
            summary: summary.clone(),
        };
        match self.ownership_check.take() {
            None => line.tell(summary.reason),
            Some((parting, held)) => self
                .place
                .last_lines()
                .tell_when_agreed(line, parting, held),
        }
    }
}

const fn frames(bytes: u64) -> u64 {
    bytes.div_ceil(call_protocol::audio::FRAME_BYTES as u64)
}

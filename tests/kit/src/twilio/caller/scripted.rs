//! A caller who follows a list of steps and reacts to what is heard.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use call_protocol::audio::FRAME_BYTES;

use super::super::fault::Fault;
use super::{Caller, CallerAction, Heard, copy_frame};

/// Loud audio that counts as the agent having said something since the step began.
const AGENT_SPOKE_MS: u64 = 100;

/// Between two keys of [`Step::Keys`].
const KEY_EVERY_MS: u64 = 200;

/// One thing the caller does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Waits until the agent has been heard to speak (in this step) and has then been silent for so long.
    WaitForAgent {
        /// Milliseconds of silence that end the agent's turn.
        quiet_ms: u64,
    },
    Wait {
        /// Milliseconds.
        ms: u64,
    },
    /// Waits until the agent has been audibly speaking for so long; the next step then talks into it.
    WaitToInterrupt {
        /// Milliseconds of the agent's speech.
        after_ms: u64,
    },
    /// Waits to interrupt a long answer, or for the end of one that turns out to be short.
    WaitToInterruptOrAnswer {
        /// Milliseconds of the agent's sound, pauses not counted, after which it is interrupted while it speaks.
        after_ms: u64,
        /// Milliseconds of silence that end the agent's turn.
        quiet_ms: u64,
    },
    /// Says a clip of µ-law, 8 kHz.
    Speak(Cow<'static, [u8]>),
    /// Presses these keys, 200 ms apart.
    Keys(String),
    /// Breaks something on the line.
    Fault(Fault),
    HangUp,
}

impl Step {
    fn name(&self) -> &'static str {
        match self {
            Self::WaitForAgent { .. } => "wait for agent",
            Self::Wait { .. } => "wait",
            Self::WaitToInterrupt { .. } => "wait to interrupt",
            Self::WaitToInterruptOrAnswer { .. } => "wait to interrupt or answer",
            Self::Speak(_) => "speak",
            Self::Keys(_) => "keys",
            Self::Fault(_) => "fault",
            Self::HangUp => "hang up",
        }
    }
}

/// How many steps a [`Scripted`] caller has finished; readable while it is on the phone and after.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicUsize>);

impl Progress {
    /// Steps finished so far.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Follows its steps, then stays silent on the line; gives up when the time limit passes.
#[derive(Debug)]
pub struct Scripted {
    steps: VecDeque<Step>,
    limit_ms: u64,
    progress: Progress,
    /// When the present step began and how much of the agent had been heard by then.
    began: Option<(u64, u64)>,
    position: usize,
}

impl Scripted {
    /// A caller with these steps and at most `limit_ms` on the line.
    pub fn new(steps: impl IntoIterator<Item = Step>, limit_ms: u64) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            limit_ms,
            progress: Progress::default(),
            began: None,
            position: 0,
        }
    }

    /// A handle that tells how far the script got.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    fn next_step(&mut self) {
        self.steps.pop_front();
        self.progress.0.fetch_add(1, Ordering::Relaxed);
        self.began = None;
        self.position = 0;
    }
}

impl Caller for Scripted {
    fn frame(
        &mut self,
        now_ms: u64,
        heard: &Heard<'_>,
        out: &mut [u8; FRAME_BYTES],
    ) -> CallerAction {
        if now_ms >= self.limit_ms {
            return CallerAction::GiveUp(match self.steps.front() {
                Some(step) => format!(
                    "time limit of {} ms in step {} ({})",
                    self.limit_ms,
                    self.progress.finished(),
                    step.name()
                ),
                None => format!("time limit of {} ms, all steps done", self.limit_ms),
            });
        }
        // Several waits may be over at the same moment; what takes time returns.
        loop {
            let (began_ms, loud_then) = *self.began.get_or_insert((now_ms, heard.loud_ms));
            let waited_ms = now_ms - began_ms;
            let over = match self.steps.front() {
                None => return CallerAction::Speak,
                Some(Step::Wait { ms }) => waited_ms >= *ms,
                Some(Step::WaitForAgent { quiet_ms }) => {
                    heard.loud_ms >= loud_then + AGENT_SPOKE_MS && heard.quiet_ms >= *quiet_ms
                }
                Some(Step::WaitToInterrupt { after_ms }) => {
                    heard.speaking_ms > 0 && heard.speaking_ms >= *after_ms
                }
                Some(Step::WaitToInterruptOrAnswer { after_ms, quiet_ms }) => {
                    let loud_ms = heard.loud_ms - loud_then;
                    let finished = loud_ms >= AGENT_SPOKE_MS && heard.quiet_ms >= *quiet_ms;
                    finished || (loud_ms >= *after_ms && heard.speaking_ms > 0)
                }
                Some(Step::Speak(_) | Step::Keys(_) | Step::Fault(_)) if !heard.on_stream => {
                    return CallerAction::Speak;
                }
                Some(Step::Speak(clip)) => {
                    if self.position < clip.len() {
                        copy_frame(clip, &mut self.position, out);
                        return CallerAction::Speak;
                    }
                    true
                }
                Some(Step::Keys(keys)) => match keys.chars().nth(self.position) {
                    Some(key) if waited_ms >= KEY_EVERY_MS * self.position as u64 => {
                        self.position += 1;
                        return CallerAction::Key(key);
                    }
                    Some(_) => return CallerAction::Speak,
                    None => true,
                },
                Some(Step::Fault(fault)) => {
                    let fault = fault.clone();
                    self.next_step();
                    return CallerAction::Fault(fault);
                }
                Some(Step::HangUp) => {
                    self.next_step();
                    return CallerAction::HangUp;
                }
            };
            if !over {
                return CallerAction::Speak;
            }
            self.next_step();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(speaking_ms: u64, quiet_ms: u64, loud_ms: u64) -> Heard<'static> {
        Heard {
            frame: &[],
            speaking_ms,
            quiet_ms,
            loud_ms,
            on_stream: true,
        }
    }

    #[test]
    fn an_answer_waits_for_the_agent_to_finish() {
        let clip = Cow::Owned(vec![1; 200]);
        let steps = [
            Step::WaitForAgent { quiet_ms: 500 },
            Step::Speak(clip),
            Step::HangUp,
        ];
        let mut caller = Scripted::new(steps, 60_000);
        let mut out = [0; FRAME_BYTES];
        // Silence alone is not the end of a turn.
        assert_eq!(
            caller.frame(2_000, &heard(0, 2_000, 0), &mut out),
            CallerAction::Speak
        );
        assert_eq!(out, [0; FRAME_BYTES]);
        caller.frame(3_000, &heard(900, 0, 900), &mut out);
        caller.frame(3_400, &heard(0, 400, 900), &mut out);
        assert_eq!(out, [0; FRAME_BYTES]);
        caller.frame(3_500, &heard(0, 500, 900), &mut out);
        assert_eq!(out, [1; FRAME_BYTES]);
        caller.frame(3_520, &heard(0, 520, 900), &mut out);
        assert_eq!(out[..40], [1; 40]);
        assert_eq!(out[40..], [0xFF; 120]);
        assert_eq!(
            caller.frame(3_540, &heard(0, 540, 900), &mut out),
            CallerAction::HangUp
        );
        assert_eq!(caller.progress().finished(), 3);
    }

    #[test]
    fn an_interruption_comes_in_the_middle_of_speech() {
        let steps = [Step::WaitToInterrupt { after_ms: 300 }, Step::HangUp];
        let mut caller = Scripted::new(steps, 60_000);
        let mut out = [0; FRAME_BYTES];
        assert_eq!(
            caller.frame(0, &heard(280, 0, 280), &mut out),
            CallerAction::Speak
        );
        assert_eq!(
            caller.frame(20, &heard(300, 0, 300), &mut out),
            CallerAction::HangUp
        );
    }

    #[test]
    fn an_answer_too_short_to_interrupt_is_answered() {
        let waiting = || {
            let step = Step::WaitToInterruptOrAnswer {
                after_ms: 6_000,
                quiet_ms: 2_000,
            };
            Scripted::new([step, Step::HangUp], 60_000)
        };
        let mut out = [0; FRAME_BYTES];
        let mut long = waiting();
        for (now_ms, speaking_ms, action) in [
            (0, 0, CallerAction::Speak),
            (5_980, 5_980, CallerAction::Speak),
            // In a pause there is nobody to interrupt.
            (6_000, 0, CallerAction::Speak),
            (6_400, 20, CallerAction::HangUp),
        ] {
            assert_eq!(
                long.frame(now_ms, &heard(speaking_ms, 0, now_ms), &mut out),
                action
            );
        }
        let mut short = waiting();
        for (now_ms, quiet_ms, loud_ms, action) in [
            (0, 9_000, 0, CallerAction::Speak),
            (3_000, 0, 3_000, CallerAction::Speak),
            (4_980, 1_980, 3_000, CallerAction::Speak),
            (5_000, 2_000, 3_000, CallerAction::HangUp),
        ] {
            assert_eq!(
                short.frame(now_ms, &heard(0, quiet_ms, loud_ms), &mut out),
                action
            );
        }
    }

    #[test]
    fn keys_are_pressed_one_after_the_other() {
        let mut caller = Scripted::new([Step::Keys("1#".to_owned())], 60_000);
        let mut out = [0; FRAME_BYTES];
        let mut pressed = Vec::new();
        for now_ms in (0..1_000).step_by(20) {
            if let CallerAction::Key(key) = caller.frame(now_ms, &heard(0, 0, 0), &mut out) {
                pressed.push((now_ms, key));
            }
        }
        assert_eq!(pressed, [(0, '1'), (200, '#')]);
    }

    #[test]
    fn the_time_limit_names_the_step_it_was_stuck_in() {
        let mut caller = Scripted::new([Step::WaitForAgent { quiet_ms: 500 }], 1_000);
        let action = caller.frame(1_000, &heard(0, 1_000, 0), &mut [0; FRAME_BYTES]);
        assert!(
            matches!(&action, CallerAction::GiveUp(reason) if reason.contains("step 0 (wait for agent)")),
            "{action:?}"
        );
    }
}

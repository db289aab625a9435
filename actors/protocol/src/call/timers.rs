//! Named timers with one next deadline; the actor keeps exactly one real timer for all of them.

use crate::time::Time;

/// What can come due in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// `start` must have come.
    Start,
    /// A model session without a caller costs money.
    Park,
    /// Caller audio must have come.
    Media,
    /// A caller who came back on another media socket must have said something.
    Return,
    /// The model's socket must be open.
    Dial,
    /// The model's session must be configured.
    Configure,
    /// The model may be dialled again.
    Redial,
    /// A failed response may be asked for again.
    Retry,
    /// More of the model's audio may be sent.
    Playback,
    /// Marks must have come back.
    Acknowledge,
    /// The call has lasted long enough.
    Length,
    /// The model should be told that the end is near.
    WrapUp,
    /// There is just time for a goodbye before the call has lasted long enough.
    Goodbye,
    /// A farewell must have been heard.
    Leave,
    /// Nobody has said anything for a while.
    Silence,
    /// The caller has taken no turn for long.
    NoTurn,
    /// The keys pressed make a whole.
    Keys,
    /// No frame came for a moment.
    Gap,
    /// More of what the caller said while there was no session may be delivered.
    CatchUp,
    /// The caller has waited in silence.
    Wait,
    /// The model must have said something.
    Answer,
    /// The next session is to be opened, or must be open.
    NextSession,
    /// The next session must be taken.
    TakeNext,
    /// A tool must have answered.
    Tool,
    /// The caller has heard nothing while a tool runs.
    ToolFiller,
    /// A person who is called must have answered, or taken the call.
    Consult,
}

impl Timer {
    /// Every timer.
    pub const ALL: [Self; 26] = [
        Self::Start,
        Self::Park,
        Self::Media,
        Self::Return,
        Self::Dial,
        Self::Configure,
        Self::Redial,
        Self::Retry,
        Self::Playback,
        Self::Acknowledge,
        Self::Length,
        Self::WrapUp,
        Self::Goodbye,
        Self::Leave,
        Self::Silence,
        Self::NoTurn,
        Self::Keys,
        Self::Gap,
        Self::CatchUp,
        Self::Wait,
        Self::Answer,
        Self::NextSession,
        Self::TakeNext,
        Self::Tool,
        Self::ToolFiller,
        Self::Consult,
    ];
}

/// When each timer comes due.
#[derive(Debug, Default)]
pub struct Timers {
    due: [Option<Time>; Timer::ALL.len()],
}

impl Timers {
    /// Sets a timer; one that was set before is moved.
    pub fn set(&mut self, timer: Timer, due: Time) {
        self.due[timer as usize] = Some(due);
    }

    /// Sets or stops a timer.
    pub fn set_or_stop(&mut self, timer: Timer, due: Option<Time>) {
        self.due[timer as usize] = due;
    }

    /// Stops a timer.
    pub fn stop(&mut self, timer: Timer) {
        self.due[timer as usize] = None;
    }

    /// Whether a timer runs.
    #[must_use]
    pub const fn is_set(&self, timer: Timer) -> bool {
        self.due[timer as usize].is_some()
    }

    /// Stops them all.
    pub fn stop_all(&mut self) {
        self.due = Default::default();
    }

    /// The next deadline.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        self.due.iter().flatten().min().copied()
    }

    /// Takes one timer that has come due, the one with the earliest deadline first.
    pub fn take_due(&mut self, now: Time) -> Option<Timer> {
        let due = |timer: &Timer| self.due[*timer as usize].filter(|due| *due <= now);
        let timer = Timer::ALL
            .into_iter()
            .filter(|timer| due(timer).is_some())
            .min_by_key(due)?;
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_is_the_next_and_is_taken_first() {
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Length, Time::from_millis(30));
        timers.set(Timer::Media, Time::from_millis(20));
        timers.set(Timer::Start, Time::from_millis(10));
        timers.stop(Timer::Start);
        assert_eq!(timers.next(), Some(Time::from_millis(20)));
        let now = Time::from_millis(30);
        assert_eq!(timers.take_due(now), Some(Timer::Media));
        assert_eq!(timers.take_due(now), Some(Timer::Length));
        assert_eq!(timers.take_due(now), None);
    }

    #[test]
    fn every_timer_has_its_own_place() {
        for (place, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, place);
        }
    }
}

//! Coming to an end: goodbye and transfer.
//!
//! A call that is to end does so when the caller has heard the last word, not in the middle of one. If they speak into
//! a goodbye, the call goes on.

use std::time::Duration;

use super::Call;
use super::outcome::{Destination, EndReason};
use super::timers::Timer;
use super::tools::ToolCall;
use crate::ids::{ModelId, clip};
use crate::model::event::ResponseStatus;
use crate::model::link::Link;
use crate::time::Time;

/// A farewell that does not come is waited for no longer than this.
pub(super) const FAREWELL: Duration = Duration::from_secs(15);

/// A farewell that is being heard is waited for no longer than this.
const LONGEST_FAREWELL: Duration = Duration::from_secs(60);

/// Before somebody else takes the caller because the call has cost enough, what is said, and what a tool is about to
/// answer, is waited for no longer than this.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// An answer that is being heard then is waited for no longer than this.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// What is left of a farewell gets this much more time than it lasts, for the last mark to come back.
const LAST_MARK: Duration = Duration::from_secs(2);

/// Bytes of what the model wants a person told who takes the caller: half a minute of speech.
const MAX_BRIEFING: usize = 500;

const SAY_GOODBYE: &str = "Say goodbye to the caller in one short, friendly sentence.";

const SAY_TRANSFER: &str =
    "Tell the caller in one short sentence that you are connecting them now.";

/// What a tool is told that would have ended the call without a word to the caller.
const SPEAK_FIRST: &str = r#"{"status":"the caller must hear a word first"}"#;

/// The last words of a call.
#[derive(Debug)]
pub(super) enum Farewell {
    /// The model is asked for them.
    Asked,
    /// The model has said them, or is about to, in the response that called a tool for it.
    Said(ToolCall),
    /// None but what is being said: the person who takes the call greets the caller.
    Unsaid,
}

/// What keeps a call that was about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// The caller did something: a goodbye is no goodbye any more.
    CallerActs,
    /// The caller was thought to be away and is not.
    SomebodyIsThere,
    /// The person who waited for the caller is gone.
    PersonIsGone,
}

/// How a call comes to its end, and where the caller goes then.
#[derive(Debug, Default)]
pub(super) struct Closing {
    pending: Option<PendingEnd>,
    /// Where the caller goes when the call has ended.
    to: Option<Destination>,
    /// What the person who takes them should know, in the model's words.
    briefing: Option<String>,
}

/// A call that is about to end.
#[derive(Debug)]
struct PendingEnd {
    reason: EndReason,
    since: Time,
    /// Whether the caller keeps the call by speaking.
    open: bool,
    /// The response in which the model should have said the last words, until it is done.
    saying: Option<ModelId>,
    /// The tool calls that asked for it; answered if the call goes on after all.
    tools: Vec<ToolCall>,
}

/// What is done about a farewell that has been waited for long enough.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// It is being heard: until then.
    Wait(Time),
    /// The call ends.
    End,
}

/// How long last words are waited for, and how long while they are being heard.
const fn patience(reason: EndReason) -> (Duration, Duration) {
    if matches!(reason, EndReason::BudgetReached) {
        (LAST_ANSWER, LONGEST_ANSWER)
    } else {
        (FAREWELL, LONGEST_FAREWELL)
    }
}

const fn words_for(reason: EndReason) -> &'static str {
    if matches!(reason, EndReason::Transferred) {
        SAY_TRANSFER
    } else {
        SAY_GOODBYE
    }
}

/// What is asked of it.
impl Closing {
    /// Whether the call is about to end.
    pub(super) const fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Why the call is about to end.
    pub(super) fn reason(&self) -> Option<EndReason> {
        self.pending.as_ref().map(|pending| pending.reason)
    }

    /// Whether the last words should be said in this response.
    pub(super) fn is_said_in(&self, response: &ModelId) -> bool {
        let pending = self.pending.as_ref();
        pending.is_some_and(|pending| pending.saying.as_ref() == Some(response))
    }

    /// Whether a response runs in which the last words should be said.
    pub(super) fn is_being_said(&self) -> bool {
        let pending = self.pending.as_ref();
        pending.is_some_and(|pending| pending.saying.is_some())
    }

    /// Where the caller goes when the call has ended.
    pub(super) const fn destination(&self) -> Option<&Destination> {
        self.to.as_ref()
    }

    /// What the person who takes the caller should know.
    pub(super) const fn briefing(&self) -> Option<&String> {
        self.briefing.as_ref()
    }
}

/// What happens to it.
impl Closing {
    /// The call is to end, and comes to its end already: the reason of a transfer counts for more.
    fn join(&mut self, reason: EndReason, farewell: Farewell) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        if reason == EndReason::Transferred && pending.open {
            pending.reason = reason;
        }
        if let Farewell::Said(tool) = farewell {
            pending.tools.push(tool);
        }
    }

    /// The call is to end when the last words are heard. Until when they are waited for.
    fn begin(&mut self, reason: EndReason, farewell: Farewell, now: Time) -> Time {
        let mut pending = PendingEnd {
            reason,
            since: now,
            // Noise does not keep a call, nor does a cough undo the key the caller pressed.
            open: matches!(reason, EndReason::AgentHungUp | EndReason::CallerSilent),
            saying: None,
            tools: Vec::new(),
        };
        if let Farewell::Said(tool) = farewell {
            pending.open = true;
            pending.saying = Some(tool.response.clone());
            pending.tools.push(tool);
        }
        self.pending = Some(pending);
        now + patience(reason).0
    }

    /// The caller is to go to somebody else. Where an operator or a key sends them is not the model's to change.
    fn send_to(&mut self, to: Destination) {
        if self.pending.as_ref().is_none_or(|pending| pending.open) {
            self.to = Some(to);
            self.briefing = None;
        }
    }

    /// The caller goes to a person who was told of the call.
    pub(super) fn send_to_briefed(&mut self, to: Destination) {
        self.to = Some(to);
    }

    /// What the person should know who takes the caller, in the model's words.
    pub(super) fn brief(&mut self, summary: &str) {
        let summary = summary.trim();
        self.briefing = (!summary.is_empty()).then(|| clip(summary, MAX_BRIEFING).to_owned());
    }

    /// Nobody takes the caller who should know something.
    pub(super) fn forget_briefing(&mut self) {
        self.briefing = None;
    }

    /// A call that goes on from a checkpoint on the stream it had goes where it was promised.
    pub(super) fn promise_again(&mut self, to: Option<&Destination>, briefing: Option<&String>) {
        self.to = to.cloned();
        self.briefing = briefing.cloned();
    }

    /// A response is done. If the last words should have been said in it and were not, they are asked for in these words,
    /// once the tools that wanted the end have their answer.
    fn response_done(
        &mut self,
        response: &ModelId,
        was_said: bool,
    ) -> Option<(&'static str, Vec<ToolCall>)> {
        let pending = self.pending.as_mut()?;
        pending.saying.take_if(|saying| saying == response)?;
        (!was_said).then(|| {
            (
                words_for(pending.reason),
                std::mem::take(&mut pending.tools),
            )
        })
    }

    /// The session is gone in which the last words were to be said.
    pub(super) fn session_lost(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.saying = None;
            pending.tools.clear();
        }
    }

    /// The call goes on, if this is what keeps it. The tool calls that wanted it to end.
    fn stay(&mut self, stay: Stay) -> Option<Vec<ToolCall>> {
        let pending = self.pending.take_if(|pending| match stay {
            Stay::CallerActs => pending.open,
            Stay::SomebodyIsThere => pending.reason == EndReason::NobodyThere,
            Stay::PersonIsGone => pending.reason == EndReason::Transferred,
        })?;
        self.to = None;
        Some(pending.tools)
    }

    /// The last words have been waited for long enough, unless `left_ms` of them are still to be heard.
    fn due(&self, left_ms: u64, now: Time) -> Option<Due> {
        let pending = self.pending.as_ref()?;
        let longest = pending.since + patience(pending.reason).1;
        if left_ms == 0 || now >= longest {
            return Some(Due::End);
        }
        let heard = now + Duration::from_millis(left_ms) + LAST_MARK;
        Some(Due::Wait(heard.min(longest)))
    }

    /// Until when last words are waited for in a call that is built anew.
    pub(super) fn watch_again(&self, now: Time) -> Option<Time> {
        self.is_pending().then(|| now + FAREWELL)
    }

    /// The call ends now.
    fn finish(&mut self) -> Option<EndReason> {
        self.pending.take().map(|pending| pending.reason)
    }
}

impl Call {
    /// The call ends when the caller has heard the last words.
    pub(super) fn leave(&mut self, reason: EndReason, farewell: Farewell, now: Time) {
        self.stop_filler(now);
        if self.closing.is_pending() {
            self.closing.join(reason, farewell);
            return;
        }
        let has_session = matches!(self.link, Link::Ready(_));
        if !has_session && !self.has_more_to_say(now) {
            self.end(reason, now);
            return;
        }
        if has_session && matches!(farewell, Farewell::Asked) {
            self.ask_for_answer(Some(words_for(reason).to_owned()));
        }
        let due = self.closing.begin(reason, farewell, now);
        self.timers.set(Timer::Leave, due);
    }

    /// The caller goes to somebody else, once they have heard that they will.
    pub(super) fn transfer(&mut self, to: Destination, farewell: Farewell, now: Time) {
        self.closing.send_to(to);
        self.leave(EndReason::Transferred, farewell, now);
    }

    /// A response is done in which the last words may have been forgotten.
    pub(super) fn on_farewell_done(
        &mut self,
        response: &ModelId,
        spoke: bool,
        status: &ResponseStatus,
        now: Time,
    ) {
        // A response that failed is asked for again, with all that was in it.
        let is_retried = matches!(status, ResponseStatus::Failed(_));
        let was_said = spoke || is_retried || self.has_more_to_say(now);
        let Some((words, tools)) = self.closing.response_done(response, was_said) else {
            return;
        };
        for tool in tools {
            self.answer_tool(tool, SPEAK_FIRST.to_owned());
        }
        self.ask_for_answer(Some(words.to_owned()));
    }

    /// The call goes on, if this keeps it.
    pub(super) fn stay(&mut self, stay: Stay) {
        let Some(tools) = self.closing.stay(stay) else {
            return;
        };
        self.timers.stop(Timer::Leave);
        for tool in tools {
            self.answer_that_caller_speaks(tool);
        }
    }

    /// After every event but a frame, while the call comes to its end: it does when the last words are heard.
    pub(super) fn leave_when_heard(&mut self, now: Time) {
        let is_being_said = self.closing.is_being_said() && matches!(self.link, Link::Ready(_));
        if !is_being_said && self.floor.is_said_out(self.around(now)) {
            self.finish_leaving(now);
        }
    }

    /// The farewell has been waited for long enough, unless it is being heard at this moment.
    pub(super) fn on_farewell_due(&mut self, now: Time) {
        let stream = self.state.stream();
        let left_ms = stream.map_or(0, |stream| stream.playback.unheard_ms(now));
        match self.closing.due(left_ms, now) {
            Some(Due::Wait(until)) => self.timers.set(Timer::Leave, until),
            Some(Due::End) => self.finish_leaving(now),
            None => {}
        }
    }

    /// Ends a call that was about to.
    pub(super) fn finish_leaving(&mut self, now: Time) {
        if let Some(reason) = self.closing.finish() {
            self.end(reason, now);
        }
    }

    /// Whether the caller has something left to hear.
    pub(super) fn has_more_to_say(&self, now: Time) -> bool {
        self.state
            .playback()
            .is_some_and(|playback| playback.is_unheard(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(call: &str) -> ToolCall {
        ToolCall {
            response: ModelId::new("resp_1"),
            call: ModelId::new(call),
        }
    }

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    fn begun(reason: EndReason, farewell: Farewell) -> Closing {
        let mut closing = Closing::default();
        closing.begin(reason, farewell, at(0));
        closing
    }

    #[test]
    fn only_some_ends_are_undone_and_each_by_its_own_reason() {
        use EndReason::{AgentHungUp, CallerSilent, NobodyThere, TooLong, Transferred};
        let kept = |reason, stay| begun(reason, Farewell::Asked).stay(stay).is_some();
        for (reason, keeps) in [
            (AgentHungUp, vec![Stay::CallerActs]),
            (CallerSilent, vec![Stay::CallerActs]),
            (NobodyThere, vec![Stay::SomebodyIsThere]),
            (Transferred, vec![Stay::PersonIsGone]),
            (TooLong, vec![]),
        ] {
            for stay in [Stay::CallerActs, Stay::SomebodyIsThere, Stay::PersonIsGone] {
                assert_eq!(
                    kept(reason, stay),
                    keeps.contains(&stay),
                    "{reason:?} {stay:?}"
                );
            }
        }
    }

    #[test]
    fn what_the_model_wanted_is_undone_with_its_calls() {
        let mut closing = begun(EndReason::Transferred, Farewell::Said(tool("call_1")));
        closing.join(EndReason::AgentHungUp, Farewell::Said(tool("call_2")));
        assert_eq!(closing.reason(), Some(EndReason::Transferred));
        let tools = closing.stay(Stay::CallerActs).expect("the call goes on");
        let calls: Vec<_> = tools.iter().map(|tool| tool.call.as_str()).collect();
        assert_eq!(calls, ["call_1", "call_2"]);
        assert!(!closing.is_pending());
    }

    #[test]
    fn a_transfer_takes_the_place_of_a_goodbye_that_is_open() {
        for (farewell, reason) in [
            (Farewell::Said(tool("call_1")), EndReason::Transferred),
            (Farewell::Asked, EndReason::TooLong),
        ] {
            let mut closing = begun(EndReason::TooLong, farewell);
            closing.send_to(Destination::Target("desk".to_owned()));
            closing.join(EndReason::Transferred, Farewell::Asked);
            assert_eq!(closing.reason(), Some(reason));
            assert_eq!(
                closing.destination().is_some(),
                reason == EndReason::Transferred
            );
        }
    }

    #[test]
    fn last_words_that_were_forgotten_are_asked_for_once() {
        let mut closing = begun(EndReason::AgentHungUp, Farewell::Said(tool("call_1")));
        let (other, response) = (ModelId::new("resp_0"), ModelId::new("resp_1"));
        assert!(closing.is_being_said() && closing.is_said_in(&response));
        assert!(closing.response_done(&other, false).is_none());
        let (words, tools) = closing.response_done(&response, false).expect("forgotten");
        assert_eq!((words, tools.len()), (SAY_GOODBYE, 1));
        assert!(!closing.is_being_said());
        assert!(closing.response_done(&response, false).is_none());
    }

    #[test]
    fn a_farewell_that_is_heard_is_waited_for_and_not_for_ever() {
        let closing = begun(EndReason::AgentHungUp, Farewell::Asked);
        assert_eq!(closing.due(0, at(15_000)), Some(Due::End));
        assert_eq!(closing.due(1_000, at(15_000)), Some(Due::Wait(at(18_000))));
        assert_eq!(closing.due(9_000, at(55_000)), Some(Due::Wait(at(60_000))));
        assert_eq!(closing.due(9_000, at(60_000)), Some(Due::End));
        assert_eq!(Closing::default().due(0, at(0)), None);
    }
}

//! Keeps the place in the script: which step is the next answer, and what the caller is taken to have said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::prepared::{Prepared, Prompt};

/// Where a new session takes up the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resume {
    /// After the user turns that are replayed into it with `conversation.item.create`; none replayed, at the beginning.
    #[default]
    Replayed,
    /// Always at that turn, counted from 0.
    At(usize),
    /// Where the server's last session stopped, whatever is replayed. For one call at a time.
    CarryOn,
}

/// Which part of the script a response came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `greeting`.
    Greeting,
    /// `turns`, counted from 0.
    Turn(usize),
    /// `otherwise`.
    Otherwise,
    /// `idle`.
    Idle,
    /// `unprompted`.
    Unprompted,
    /// `aside`.
    Aside,
    /// Not from the script: probe frames sent back.
    Echo,
}

/// What brought a response about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The caller stopped speaking.
    CallerTurn,
    /// `response.create`.
    Create,
    /// `idle_timeout_ms`.
    Idle,
    /// `response.create` with `conversation: "none"`.
    Aside,
}

/// One session's place in the script.
#[derive(Debug)]
pub(crate) struct ScriptCursor {
    script: Arc<Prepared>,
    resume: Resume,
    carried: Arc<AtomicUsize>,
    position: usize,
    /// Something asks for an answer that has not been given: a caller turn, a tool output, a failed response.
    unanswered: bool,
    /// Items replayed before anything happened in this session.
    replayed: bool,
    /// The caller has had a turn, here or in what was replayed.
    caller_spoke: bool,
    greeted: bool,
    /// The session itself has begun: from here on items are no replay.
    live: bool,
}

impl ScriptCursor {
    pub(crate) fn new(script: Arc<Prepared>, resume: Resume, carried: Arc<AtomicUsize>) -> Self {
        let position = match resume {
            Resume::Replayed | Resume::CarryOn => 0,
            Resume::At(turn) => turn,
        };
        Self {
            script,
            resume,
            carried,
            position,
            unanswered: false,
            replayed: false,
            caller_spoke: position > 0,
            greeted: false,
            live: false,
        }
    }

    /// The turn that comes next. A session that was opened ahead carries on where the one before it has stopped by the
    /// time it is used.
    pub(crate) fn position(&self) -> usize {
        if self.resume == Resume::CarryOn && !self.live {
            return self.carried.load(Ordering::Relaxed);
        }
        self.position
    }

    fn go_live(&mut self) {
        self.position = self.position();
        self.caller_spoke |= self.position > 0;
        self.live = true;
    }

    /// What the caller is taken to have said in the turn that ends now.
    pub(crate) fn transcript(&self) -> String {
        let line = self.script.turns.get(self.position());
        line.and_then(|line| line.hears.clone())
            .or_else(|| self.script.otherwise.hears.clone())
            .unwrap_or_default()
    }

    /// The caller finished a turn on this socket.
    pub(crate) fn caller_turn(&mut self) {
        self.go_live();
        self.caller_spoke = true;
        self.unanswered = true;
    }

    /// The client created a user message.
    pub(crate) fn user_item(&mut self) {
        if !self.live {
            self.replayed = true;
            if self.resume == Resume::Replayed {
                let stale = usize::from(self.unanswered);
                let rest = self.script.turns.iter().skip(self.position + stale);
                let skipped = rest.take_while(|line| line.hears.is_none()).count();
                self.position += stale + skipped;
            }
        }
        self.caller_spoke = true;
        self.unanswered = true;
    }

    /// The client created an assistant message or a function call.
    pub(crate) fn assistant_item(&mut self) {
        if self.live {
            return;
        }
        self.replayed = true;
        if self.unanswered && self.resume == Resume::Replayed {
            self.position += 1;
        }
        self.unanswered = false;
    }

    /// The client created a function call output.
    pub(crate) fn tool_output(&mut self) {
        self.unanswered = true;
    }

    /// The next answer. [`ScriptCursor::taken`] moves on from it.
    pub(crate) fn next(&self, cause: Cause) -> (Source, Arc<Prompt>) {
        let script = &self.script;
        let position = self.position();
        let turn = |at: usize| match script.turns.get(at) {
            Some(line) => (Source::Turn(at), line.clone()),
            None => (Source::Otherwise, script.otherwise.clone()),
        };
        match cause {
            Cause::Idle => (Source::Idle, script.idle.clone()),
            Cause::Aside => (Source::Aside, script.aside.clone()),
            Cause::CallerTurn => turn(position),
            Cause::Create if self.unanswered => turn(position),
            // Told a history that ends with the model's own words: it says the last of them again.
            Cause::Create if self.replayed && !self.live && position > 0 => turn(position - 1),
            Cause::Create if self.caller_spoke || position > 0 || self.greeted => {
                (Source::Unprompted, script.unprompted.clone())
            }
            Cause::Create => (Source::Greeting, script.greeting.clone()),
        }
    }

    /// That answer has been started.
    pub(crate) fn taken(&mut self, source: Source) {
        self.go_live();
        match source {
            Source::Greeting => self.greeted = true,
            Source::Turn(at) => {
                self.position = at + 1;
                self.carried.store(self.position, Ordering::Relaxed);
                self.unanswered = false;
            }
            Source::Otherwise => self.unanswered = false,
            Source::Idle | Source::Unprompted | Source::Aside | Source::Echo => {}
        }
    }

    /// The last answer was to call a tool and did not: what follows the tool's output is passed over.
    pub(crate) fn called_nothing(&mut self) {
        let rest = self.script.turns.iter().skip(self.position);
        self.position += rest.take_while(|prompt| prompt.hears.is_none()).count();
        self.carried.store(self.position, Ordering::Relaxed);
    }

    /// The answer came to nothing: another `response.create` goes on with the script.
    pub(crate) fn owed(&mut self) {
        self.unanswered = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::{Script, Step, ToolCall};

    fn prompter(script: &Script, resume: Resume) -> ScriptCursor {
        let prepared = Arc::new(Prepared::new(script).unwrap());
        ScriptCursor::new(prepared, resume, Arc::default())
    }

    fn with_tool() -> Script {
        let mut script = Script::chat();
        script.turns[0].tools.push(ToolCall {
            name: "crm_lookup".into(),
            arguments: serde_json::json!({}),
        });
        script.turns.insert(1, Step::clip(None, "price"));
        script
    }

    #[test]
    fn the_conversation_goes_greeting_turns_otherwise() {
        let mut prompter = prompter(&Script::chat(), Resume::Replayed);
        assert_eq!(prompter.next(Cause::Create).0, Source::Greeting);
        prompter.taken(Source::Greeting);
        for turn in 0..4 {
            prompter.caller_turn();
            assert!(!prompter.transcript().is_empty());
            assert_eq!(prompter.next(Cause::CallerTurn).0, Source::Turn(turn));
            prompter.taken(Source::Turn(turn));
        }
        prompter.caller_turn();
        assert_eq!(prompter.next(Cause::CallerTurn).0, Source::Otherwise);
    }

    #[test]
    fn a_tool_output_asks_for_the_next_step() {
        let mut prompter = prompter(&with_tool(), Resume::Replayed);
        prompter.caller_turn();
        prompter.taken(Source::Turn(0));
        assert_eq!(prompter.next(Cause::Create).0, Source::Unprompted);
        prompter.tool_output();
        assert_eq!(prompter.next(Cause::Create).0, Source::Turn(1));
    }

    #[test]
    fn a_tool_that_is_not_called_has_no_step_after_it() {
        let mut prompter = prompter(&with_tool(), Resume::Replayed);
        prompter.caller_turn();
        prompter.taken(Source::Turn(0));
        prompter.called_nothing();
        prompter.caller_turn();
        assert_eq!(prompter.next(Cause::CallerTurn).0, Source::Turn(2));
    }

    #[test]
    fn a_replayed_history_sets_the_place() {
        let mut prompter = prompter(&with_tool(), Resume::Replayed);
        prompter.assistant_item();
        prompter.user_item();
        assert_eq!(prompter.next(Cause::Create).0, Source::Turn(0));
        prompter.assistant_item();
        prompter.tool_output();
        assert_eq!(prompter.next(Cause::Create).0, Source::Turn(1));
        prompter.assistant_item();
        prompter.user_item();
        assert_eq!(prompter.next(Cause::Create).0, Source::Turn(2));
        prompter.assistant_item();
        // Ends with the model's words: the cut answer again, and the caller's next turn goes on from there.
        assert_eq!(prompter.next(Cause::Create).0, Source::Turn(2));
        prompter.caller_turn();
        assert_eq!(prompter.next(Cause::CallerTurn).0, Source::Turn(3));
    }

    #[test]
    fn replaying_only_messages_skips_the_tool_step() {
        let mut prompter = prompter(&with_tool(), Resume::Replayed);
        for _ in 0..2 {
            prompter.user_item();
            prompter.assistant_item();
        }
        prompter.caller_turn();
        assert_eq!(prompter.next(Cause::CallerTurn).0, Source::Turn(3));
    }

    #[test]
    fn a_session_can_carry_on_where_the_last_one_stopped() {
        let prepared = Arc::new(Prepared::new(&Script::chat()).unwrap());
        let carried = Arc::new(AtomicUsize::new(0));
        let mut first = ScriptCursor::new(prepared.clone(), Resume::CarryOn, carried.clone());
        first.caller_turn();
        first.taken(Source::Turn(0));
        let mut second = ScriptCursor::new(prepared, Resume::CarryOn, carried);
        assert_eq!(second.position(), 1);
        // Opened ahead, while the first goes on.
        first.caller_turn();
        first.taken(Source::Turn(1));
        assert_eq!(second.next(Cause::Create).0, Source::Unprompted);
        second.caller_turn();
        assert_eq!(second.next(Cause::CallerTurn).0, Source::Turn(2));
    }
}

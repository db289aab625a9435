//! Whose turn it is to ask: one `response.create` at a time.
//!
//! A server refuses a second response while one runs, and starts its own when the caller falls silent. So there is one
//! place that knows whether a response is running, remembers one wish raised meanwhile, and knows which responses the
//! caller must not hear any more.

use std::collections::VecDeque;

use crate::ids::ModelId;
use crate::model::command::ModelCommand;

/// Responses remembered as over or unwanted; late deltas come for the last one or two.
const REMEMBERED: usize = 16;

/// What a response is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseRequest {
    /// What this answer is for; `None` to simply go on.
    pub instructions: Option<String>,
}

impl ResponseRequest {
    /// An answer for this.
    #[must_use]
    pub fn to(instructions: &str) -> Self {
        Self {
            instructions: Some(instructions.to_owned()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing runs.
    Free,
    /// We asked, and the server has not begun.
    Asked {
        request: String,
        wish: ResponseRequest,
    },
    /// We asked, and the caller spoke before the server began: cancel it when it does.
    Unwanted { request: String },
    /// A response runs.
    Active(ModelId),
    /// A response runs that we asked to be cancelled.
    Cancelling(ModelId),
}

/// What to do with audio of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Play it.
    Play,
    /// The caller interrupted it, or it is over.
    Discard,
    /// The server never said that it began.
    Unknown,
}

/// The sequencer of one session's responses.
#[derive(Clone, Debug)]
pub struct Responses {
    turn: Turn,
    owed: Option<ResponseRequest>,
    /// Our request that the running response is taken to answer, until the server refuses it after all.
    served: Option<(String, ResponseRequest)>,
    /// The last response that was heard.
    spoken: Option<ModelId>,
    over: VecDeque<ModelId>,
    requests: u64,
    /// Whether this server announces responses; one gateway does not, and its audio must be heard all the same.
    announces: bool,
}

impl Default for Responses {
    fn default() -> Self {
        Self {
            turn: Turn::Free,
            owed: None,
            served: None,
            spoken: None,
            over: VecDeque::new(),
            requests: 0,
            announces: false,
        }
    }
}

impl Responses {
    /// Asks for a response: now if none runs, else after the running one. Wishes raised meanwhile become one.
    pub fn ask(&mut self, wish: ResponseRequest) -> Option<ModelCommand> {
        match &self.turn {
            Turn::Free => Some(self.create(wish)),
            Turn::Asked { .. } | Turn::Unwanted { .. } | Turn::Active(_) | Turn::Cancelling(_) => {
                // A wish with words says more than one without.
                if self
                    .owed
                    .as_ref()
                    .is_none_or(|owed| owed.instructions.is_none())
                {
                    self.owed = Some(wish);
                }
                None
            }
        }
    }

    fn create(&mut self, wish: ResponseRequest) -> ModelCommand {
        self.requests += 1;
        let request = format!("respond-{}", self.requests);
        let instructions = wish.instructions.clone();
        self.turn = Turn::Asked {
            request: request.clone(),
            wish,
        };
        ModelCommand::Respond {
            request,
            instructions,
        }
    }

    /// The server began a response.
    pub fn started(&mut self, response: &ModelId) -> Option<ModelCommand> {
        self.announces = true;
        self.served = None;
        match &self.turn {
            Turn::Unwanted { .. } => {
                self.turn = Turn::Cancelling(response.clone());
                self.discard(response);
                Some(ModelCommand::Cancel {
                    response: response.clone(),
                })
            }
            Turn::Asked { request, wish } => {
                self.served = Some((request.clone(), wish.clone()));
                self.turn = Turn::Active(response.clone());
                None
            }
            Turn::Free | Turn::Active(_) | Turn::Cancelling(_) => {
                self.turn = Turn::Active(response.clone());
                None
            }
        }
    }

    /// What a running response was asked for, if we asked for it.
    #[must_use]
    pub fn wish_of(&self, response: &ModelId) -> Option<ResponseRequest> {
        let running = matches!(&self.turn, Turn::Active(active) if active == response);
        let (_, wish) = self.served.as_ref().filter(|_| running)?;
        Some(wish.clone())
    }

    /// Whether the running response is the one that was asked for with these words.
    #[must_use]
    pub fn serves(&self, instructions: &str) -> bool {
        let served = self.served.as_ref();
        served.is_some_and(|(_, wish)| wish.instructions.as_deref() == Some(instructions))
    }

    /// What the response is for that was asked for and is not done, where we know it.
    #[must_use]
    pub fn under_way(&self) -> Option<&ResponseRequest> {
        match &self.turn {
            Turn::Asked { wish, .. } => Some(wish),
            Turn::Active(_) => self.served.as_ref().map(|(_, wish)| wish),
            Turn::Free | Turn::Unwanted { .. } | Turn::Cancelling(_) => None,
        }
    }

    /// After the response that runs, if one does, another is to be asked for.
    pub fn owe(&mut self, wish: ResponseRequest) {
        if self.is_busy() {
            self.owed.get_or_insert(wish);
        }
    }

    /// Whether another is to be asked for after the response that runs.
    #[must_use]
    pub const fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// The running response is to be asked for again: what was to be asked for after it becomes a part of that. Two
    /// requests with words want two things said, and stay two.
    pub fn join(&mut self, wish: ResponseRequest) -> ResponseRequest {
        let has_words = wish.instructions.is_some();
        let joins = |owed: &mut ResponseRequest| !has_words || owed.instructions.is_none();
        match self.owed.take_if(joins) {
            Some(owed) if !has_words => owed,
            Some(_) | None => wish,
        }
    }

    /// The last response that was heard, or is.
    #[must_use]
    pub const fn last_spoken(&self) -> Option<&ModelId> {
        self.spoken.as_ref()
    }

    /// Audio of a response goes to the caller.
    pub fn speaks(&mut self, response: &ModelId) {
        self.spoken = Some(response.clone());
    }

    /// Whether audio of a response went to the caller; not every server lists it when the response is done.
    #[must_use]
    pub fn spoke(&self, response: &ModelId) -> bool {
        self.spoken.as_ref() == Some(response)
    }

    /// A response is over; a wish raised meanwhile is asked now.
    pub fn done(&mut self, response: &ModelId) -> Option<ModelCommand> {
        self.discard(response);
        let ours = match &self.turn {
            Turn::Active(active) | Turn::Cancelling(active) => active == response,
            Turn::Free | Turn::Asked { .. } | Turn::Unwanted { .. } => false,
        };
        if !ours {
            return None;
        }
        self.turn = Turn::Free;
        self.served = None;
        self.ask_owed()
    }

    /// The server refused a request of ours: gives back what it was for. `running` says that it was refused because
    /// another response runs; then it is owed instead.
    pub fn refused(&mut self, request: &str, running: bool) -> Option<ResponseRequest> {
        let wish = match &self.turn {
            Turn::Asked {
                request: asked,
                wish,
            } if asked == request => {
                let wish = wish.clone();
                self.turn = Turn::Free;
                wish
            }
            Turn::Unwanted { request: asked } if asked == request => {
                self.turn = Turn::Free;
                return None;
            }
            Turn::Free
            | Turn::Asked { .. }
            | Turn::Unwanted { .. }
            | Turn::Active(_)
            | Turn::Cancelling(_) => {
                // A response of the server's own was announced before it read our request.
                self.served.take_if(|(asked, _)| asked == request)?.1
            }
        };
        if !running {
            return Some(wish);
        }
        self.owed.get_or_insert(wish);
        None
    }

    /// Asks for what is owed, if nothing runs.
    pub fn ask_owed(&mut self) -> Option<ModelCommand> {
        if self.is_busy() {
            return None;
        }
        let wish = self.owed.take()?;
        Some(self.create(wish))
    }

    /// The server says nothing when it should: whatever was asked for is asked for once more. A response that runs in
    /// silence is cancelled first.
    pub fn ask_anew(&mut self) -> Option<ModelCommand> {
        let again = ResponseRequest { instructions: None };
        match &self.turn {
            Turn::Free | Turn::Unwanted { .. } => {
                let wish = self.owed.take().unwrap_or(again);
                Some(self.create(wish))
            }
            // A server that does not even cancel would refuse another.
            Turn::Cancelling(_) => {
                self.owed.get_or_insert(again);
                None
            }
            Turn::Asked { wish, .. } => {
                let wish = wish.clone();
                Some(self.create(wish))
            }
            Turn::Active(active) => {
                let active = active.clone();
                let wish = self.wish_of(&active).unwrap_or(again);
                self.discard(&active);
                self.owed.get_or_insert(wish);
                self.turn = Turn::Cancelling(active.clone());
                Some(ModelCommand::Cancel { response: active })
            }
        }
    }

    /// The caller interrupts. The running response is unheard from now on; cancelling it is asked for only where the
    /// server does not do it by itself.
    pub fn interrupt(&mut self, server_cancels: bool) -> Option<ModelCommand> {
        self.owed = None;
        self.served = None;
        match &self.turn {
            Turn::Free | Turn::Unwanted { .. } | Turn::Cancelling(_) => None,
            Turn::Asked { request, .. } => {
                self.turn = Turn::Unwanted {
                    request: request.clone(),
                };
                None
            }
            Turn::Active(active) => {
                let active = active.clone();
                self.discard(&active);
                if server_cancels {
                    return None;
                }
                self.turn = Turn::Cancelling(active.clone());
                Some(ModelCommand::Cancel { response: active })
            }
        }
    }

    /// What to do with audio of this response.
    #[must_use]
    pub fn verdict(&self, response: &ModelId) -> Verdict {
        if self.over.contains(response) {
            return Verdict::Discard;
        }
        match &self.turn {
            Turn::Active(active) if active == response => Verdict::Play,
            Turn::Cancelling(active) if active == response => Verdict::Discard,
            Turn::Unwanted { .. } => Verdict::Discard,
            Turn::Free | Turn::Asked { .. } | Turn::Active(_) | Turn::Cancelling(_) => {
                if self.announces {
                    Verdict::Unknown
                } else {
                    Verdict::Play
                }
            }
        }
    }

    /// The caller must not hear this response any more.
    pub fn discard(&mut self, response: &ModelId) {
        if self.over.contains(response) {
            return;
        }
        if self.over.len() == REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back(response.clone());
    }

    /// Whether this response runs, wanted or not.
    #[must_use]
    pub fn is_running(&self, response: &ModelId) -> bool {
        match &self.turn {
            Turn::Active(running) | Turn::Cancelling(running) => running == response,
            Turn::Free | Turn::Asked { .. } | Turn::Unwanted { .. } => false,
        }
    }

    /// Whether a response runs or has been asked for.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.turn != Turn::Free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> ResponseRequest {
        ResponseRequest {
            instructions: (!text.is_empty()).then(|| text.to_owned()),
        }
    }

    fn request_of(command: Option<ModelCommand>) -> Option<(String, Option<String>)> {
        match command {
            Some(ModelCommand::Respond {
                request,
                instructions,
            }) => Some((request, instructions)),
            _ => None,
        }
    }

    #[test]
    fn wishes_raised_while_a_response_runs_become_one() {
        let mut responses = Responses::default();
        let id = ModelId::new("resp_1");
        assert!(responses.ask(wish("greet")).is_some());
        responses.started(&id);
        assert!(responses.ask(wish("")).is_none());
        assert!(responses.ask(wish("say the price")).is_none());
        assert!(responses.ask(wish("")).is_none());
        let next = request_of(responses.done(&id));
        assert_eq!(
            next,
            Some(("respond-2".to_owned(), Some("say the price".to_owned())))
        );
        assert!(responses.done(&id).is_none(), "asked once");
    }

    #[test]
    fn a_refusal_because_another_runs_is_owed_until_that_one_is_done() {
        let mut responses = Responses::default();
        responses.ask(wish("tell"));
        responses.refused("respond-1", true);
        let theirs = ModelId::new("resp_vad");
        responses.started(&theirs);
        assert!(request_of(responses.done(&theirs)).is_some());
    }

    #[test]
    fn an_interrupted_response_is_cancelled_only_where_the_server_does_not() {
        for (server_cancels, expected) in [(true, false), (false, true)] {
            let mut responses = Responses::default();
            let id = ModelId::new("resp_1");
            responses.started(&id);
            let command = responses.interrupt(server_cancels);
            assert_eq!(
                matches!(command, Some(ModelCommand::Cancel { .. })),
                expected
            );
            assert_eq!(responses.verdict(&id), Verdict::Discard);
        }
    }

    #[test]
    fn a_response_that_begins_after_the_caller_spoke_is_cancelled_at_once() {
        let mut responses = Responses::default();
        responses.ask(wish(""));
        assert!(responses.interrupt(true).is_none());
        let id = ModelId::new("resp_late");
        assert!(matches!(
            responses.started(&id),
            Some(ModelCommand::Cancel { .. })
        ));
        assert_eq!(responses.verdict(&id), Verdict::Discard);
    }

    #[test]
    fn audio_of_a_response_that_never_began_is_unknown_once_the_server_is_known_to_announce() {
        let mut responses = Responses::default();
        let ghost = ModelId::new("resp_ghost");
        assert_eq!(
            responses.verdict(&ghost),
            Verdict::Play,
            "a gateway that announces nothing"
        );
        let real = ModelId::new("resp_1");
        responses.started(&real);
        assert_eq!(responses.verdict(&real), Verdict::Play);
        assert_eq!(responses.verdict(&ghost), Verdict::Unknown);
        responses.done(&real);
        assert_eq!(
            responses.verdict(&real),
            Verdict::Discard,
            "deltas after done"
        );
    }
}

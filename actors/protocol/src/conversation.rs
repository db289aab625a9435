//! The conversation as it was heard.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::ids::{ModelId, clip};
use crate::phone::playback::Settled;
use crate::time::Time;

/// Turns kept; older ones are counted only. An hour of brisk talk has fewer.
const KEPT_TURNS: usize = 400;

/// Bytes of text kept of a turn.
const KEPT_TEXT: usize = 4_096;

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The person on the phone.
    Caller,
    /// The model's voice, or a clip in its name.
    Agent,
}

/// One turn.
#[derive(Clone, Debug, Serialize)]
pub struct Turn {
    /// Who spoke.
    pub who: Speaker,
    /// The model's item.
    pub item: ModelId,
    /// Milliseconds since the call began, when the turn did: the time of all its media sockets together.
    pub at_ms: u64,
    /// What was said, where the words are known.
    pub said: Option<String>,
    /// What the caller heard of it: all of `said`, or an estimate by proportion where it was cut.
    pub heard: Option<String>,
    /// Whether `heard` is an estimate.
    pub estimated: bool,
    /// Whether the caller did not hear all of it.
    pub cut: bool,
    /// Why the model did not come to the end of it: `tokens` or `filter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<&'static str>,
    /// Milliseconds of audio received from the model.
    pub received_ms: u64,
    /// Milliseconds sent to Twilio.
    pub sent_ms: u64,
    /// Milliseconds heard by the caller.
    pub heard_ms: u64,
    /// Milliseconds from the caller's last word to the model's first audio.
    pub model_ms: Option<u64>,
    /// Milliseconds from the caller's last word to the first audio sent to Twilio.
    pub latency_ms: Option<u64>,
    /// Milliseconds from the caller's last word to the moment they began to hear the answer.
    pub heard_after_ms: Option<u64>,
    /// When the caller fell silent, for an answer.
    #[serde(skip)]
    pub caller_silent_since: Option<Time>,
    #[serde(skip)]
    over: bool,
    /// The content part that is being told, and where in `said` its words begin.
    #[serde(skip)]
    part: (u32, usize),
}

impl Turn {
    fn new(who: Speaker, item: ModelId, at_ms: u64) -> Self {
        Self {
            who,
            item,
            at_ms,
            said: None,
            heard: None,
            estimated: false,
            cut: false,
            unfinished: None,
            received_ms: 0,
            sent_ms: 0,
            heard_ms: 0,
            model_ms: None,
            latency_ms: None,
            heard_after_ms: None,
            caller_silent_since: None,
            over: false,
            part: (0, 0),
        }
    }

    /// Where the words of a content part begin in what is said; `None` if they were before what is told now.
    fn begin_part(&mut self, part: u32) -> Option<usize> {
        let length = self.said.as_ref().map_or(0, String::len);
        if part > self.part.0 {
            self.part = (part, length);
        }
        (part == self.part.0).then_some(self.part.1)
    }

    /// What of it was heard, as far as it can be known.
    fn estimate(&mut self) {
        self.estimated = self.cut && self.said.is_some();
        self.heard = self.said.as_deref().map(|said| {
            if self.cut {
                heard_part(said, self.heard_ms, self.received_ms)
            } else {
                said.to_owned()
            }
        });
    }
}

/// The turns of a call, oldest first.
#[derive(Debug, Default)]
pub struct Conversation {
    turns: VecDeque<Turn>,
    forgotten: u64,
    /// Milliseconds the call lasted before this media socket.
    before_ms: u64,
}

impl Conversation {
    /// A conversation that began before, `before_ms` of call ago.
    #[must_use]
    pub fn resumed(turns: &VecDeque<KeptTurn>, forgotten: u64, before_ms: u64) -> Self {
        let too_many = turns.len().saturating_sub(KEPT_TURNS);
        let mut conversation = Self {
            turns: VecDeque::with_capacity(turns.len() - too_many),
            forgotten: forgotten.saturating_add(too_many as u64),
            before_ms,
        };
        for (number, kept) in turns.iter().enumerate().skip(too_many) {
            let item = ModelId::new(&format!("before-{number}"));
            let mut turn = Turn::new(kept.who, item, kept.at_ms);
            turn.heard = kept
                .heard
                .as_deref()
                .map(|text| clip(text, KEPT_TEXT).to_owned());
            turn.said = kept
                .said
                .as_deref()
                .map(|text| clip(text, KEPT_TEXT).to_owned());
            if turn.said.is_none() {
                turn.said.clone_from(&turn.heard);
            }
            turn.heard_ms = kept.heard_ms;
            turn.cut = kept.cut;
            turn.estimated = kept.cut;
            turn.over = true;
            conversation.turns.push_back(turn);
        }
        conversation
    }

    /// Turns that are counted only.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The caller's turn was taken into the conversation.
    pub fn caller_turn(&mut self, item: &ModelId, now: Time) {
        self.open(Speaker::Caller, item, now);
    }

    /// The words of a caller's turn came, or will never come; gives the turn back once.
    pub fn caller_words(
        &mut self,
        item: &ModelId,
        text: Option<String>,
        now: Time,
    ) -> Option<Turn> {
        let turn = self.open(Speaker::Caller, item, now);
        if turn.over {
            return None;
        }
        turn.over = true;
        turn.said = text.map(|text| clip(text.trim(), KEPT_TEXT).to_owned());
        turn.heard.clone_from(&turn.said);
        Some(turn.clone())
    }

    /// More words of an agent's turn.
    pub fn agent_words(&mut self, item: &ModelId, part: u32, text: &str, now: Time) {
        let turn = self.open(Speaker::Agent, item, now);
        turn.begin_part(part);
        let said = turn.said.get_or_insert_default();
        let room = KEPT_TEXT.saturating_sub(said.len());
        said.push_str(clip(text, room));
    }

    /// All words of a part of an agent's turn, in the place of what was told of it bit by bit.
    pub fn agent_said(&mut self, item: &ModelId, part: u32, text: &str, now: Time) {
        let turn = self.open(Speaker::Agent, item, now);
        let Some(begin) = turn.begin_part(part) else {
            return;
        };
        let said = turn.said.get_or_insert_default();
        said.truncate(begin);
        let room = KEPT_TEXT.saturating_sub(said.len());
        said.push_str(clip(text, room));
        if turn.over {
            turn.estimate();
        }
    }

    /// The model did not come to the end of this item, or of the last it said.
    pub fn unfinished(&mut self, item: Option<&ModelId>, why: &'static str) {
        let mut turns = self.turns.iter_mut().rev();
        let turn = match item {
            Some(item) => turns.find(|turn| turn.item == *item),
            None => turns.find(|turn| turn.who == Speaker::Agent),
        };
        if let Some(turn) = turn {
            turn.unfinished = Some(why);
        }
    }

    /// Audio of an agent's turn came; the latencies are those of its response, once.
    pub fn agent_audio(&mut self, item: &ModelId, now: Time) -> &mut Turn {
        self.open(Speaker::Agent, item, now)
    }

    /// The agent's turn, or a part of it, is over; gives it back when the caller is to be told nothing more of it.
    pub fn settle(&mut self, settled: &Settled, now: Time) -> Turn {
        let turn = self.open(Speaker::Agent, &settled.key.item, now);
        turn.received_ms += settled.received_ms;
        turn.sent_ms += settled.sent_ms;
        turn.heard_ms += settled.heard_ms;
        turn.cut |= settled.cut;
        turn.over = true;
        if let (None, Some(silent), Some(began)) =
            (turn.heard_after_ms, turn.caller_silent_since, settled.began)
        {
            turn.heard_after_ms = Some(began.millis_since(silent));
        }
        turn.estimate();
        turn.clone()
    }

    /// Turns not told of yet, when the call ends.
    pub fn finish(&mut self) -> Vec<Turn> {
        let mut rest = Vec::new();
        for turn in self.turns.iter_mut().filter(|turn| !turn.over) {
            turn.over = true;
            rest.push(turn.clone());
        }
        rest
    }

    /// The turns kept, oldest first.
    pub fn turns(&self) -> impl DoubleEndedIterator<Item = &Turn> {
        self.turns.iter()
    }

    /// How many turns, from the first on, are over and will not change.
    #[must_use]
    pub fn settled(&self) -> u64 {
        let over = self.turns.iter().take_while(|turn| turn.over).count();
        self.forgotten + over as u64
    }

    /// The turns kept of the first `count`.
    pub fn turns_before(&self, count: u64) -> impl DoubleEndedIterator<Item = &Turn> {
        self.turns.iter().take(self.kept_of(count))
    }

    /// The turns after the first `count`.
    pub fn turns_after(&self, count: u64) -> impl DoubleEndedIterator<Item = &Turn> {
        self.turns.iter().skip(self.kept_of(count))
    }

    fn kept_of(&self, count: u64) -> usize {
        let kept = count.saturating_sub(self.forgotten);
        usize::try_from(kept)
            .unwrap_or(usize::MAX)
            .min(self.turns.len())
    }

    /// How many turns there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.forgotten + self.turns.len() as u64
    }

    /// Whether the caller has heard anything of the agent.
    #[must_use]
    pub fn agent_was_heard(&self) -> bool {
        self.turns
            .iter()
            .any(|turn| turn.who == Speaker::Agent && turn.heard_ms > 0)
    }

    fn open(&mut self, who: Speaker, item: &ModelId, now: Time) -> &mut Turn {
        if let Some(index) = self.turns.iter().rposition(|turn| turn.item == *item) {
            return &mut self.turns[index];
        }
        if self.turns.len() == KEPT_TURNS {
            self.turns.pop_front();
            self.forgotten += 1;
        }
        let at_ms = self.before_ms + now.as_millis();
        self.turns.push_back(Turn::new(who, item.clone(), at_ms));
        let last = self.turns.len() - 1;
        &mut self.turns[last]
    }
}

/// The share of a text that was heard, cut at a word. An estimate: text and audio are not aligned.
#[must_use]
pub fn heard_part(said: &str, heard_ms: u64, all_ms: u64) -> String {
    if all_ms == 0 || heard_ms == 0 {
        return String::new();
    }
    let characters = said.chars().count() as u64;
    let heard = (characters * heard_ms.min(all_ms) / all_ms) as usize;
    let mut part: String = said.chars().take(heard).collect();
    let cut_inside_word = said
        .chars()
        .nth(heard)
        .is_some_and(|next| !next.is_whitespace());
    if cut_inside_word {
        let end = part.rfind(char::is_whitespace).unwrap_or(0);
        part.truncate(end);
    }
    part.truncate(part.trim_end().len());
    part
}

/// A turn as it was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTurn {
    /// Who spoke.
    pub who: Speaker,
    /// Milliseconds since the call began, when the turn did.
    #[serde(default)]
    pub at_ms: u64,
    /// What the caller heard, or said.
    #[serde(default)]
    pub heard: Option<String>,
    /// All that was said, where the caller did not hear it to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Milliseconds the caller heard.
    #[serde(default)]
    pub heard_ms: u64,
    /// Whether the caller did not hear all of it.
    #[serde(default)]
    pub cut: bool,
}

impl KeptTurn {
    /// A turn of the conversation. One that is not over was heard for `so_far.0` of the `so_far.1` milliseconds that
    /// came.
    #[must_use]
    pub fn of(turn: &Turn, so_far: Option<(u64, u64)>) -> Self {
        let (heard_ms, received_ms) = so_far.unwrap_or((turn.heard_ms, turn.received_ms));
        let open = turn.heard.is_none() && turn.said.is_some();
        let heard = match (&turn.heard, &turn.said) {
            (Some(heard), _) => Some(heard.clone()),
            (None, Some(said)) => Some(heard_part(said, heard_ms, received_ms)),
            (None, None) => None,
        };
        let cut = turn.cut || open;
        Self {
            who: turn.who,
            at_ms: turn.at_ms,
            said: turn.said.clone().filter(|_| cut),
            heard,
            heard_ms,
            cut,
        }
    }

    /// Bytes of text in it: less than it takes when written.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let bytes = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        bytes(&self.heard) + bytes(&self.said)
    }

    pub(crate) fn written_bytes(&self) -> usize {
        serde_json::to_vec(self).map_or(0, |written| written.len() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PartKey;

    fn settled(item: &ModelId, received_ms: u64, heard_ms: u64) -> Settled {
        let key = PartKey {
            response: ModelId::new("r"),
            item: item.clone(),
            part: 0,
        };
        Settled {
            key,
            received_ms,
            sent_ms: received_ms,
            heard_ms,
            began: (heard_ms > 0).then_some(Time::ZERO),
            cut: heard_ms < received_ms,
        }
    }

    #[test]
    fn a_cut_turn_keeps_what_was_heard() {
        let mut conversation = Conversation::default();
        let item = ModelId::new("item_1");
        conversation.agent_words(&item, 0, "We have two o'clock, ", Time::ZERO);
        conversation.agent_words(&item, 0, "three o'clock and four.", Time::ZERO);
        let turn = conversation.settle(&settled(&item, 4_000, 2_000), Time::ZERO);
        assert!(turn.cut && turn.estimated);
        assert_eq!(turn.heard.as_deref(), Some("We have two o'clock,"));
        assert_eq!(conversation.count(), 1);
    }

    #[test]
    fn the_whole_words_of_a_part_win_over_what_was_told_bit_by_bit() {
        let mut conversation = Conversation::default();
        let item = ModelId::new("item_1");
        let said = |conversation: &Conversation| {
            let turn = conversation.turns().next_back();
            turn.and_then(|turn| turn.said.clone()).unwrap_or_default()
        };
        conversation.agent_words(&item, 0, "We hav two ", Time::ZERO);
        conversation.agent_said(&item, 0, "We have two o'clock. ", Time::ZERO);
        assert_eq!(said(&conversation), "We have two o'clock. ");
        conversation.agent_words(&item, 1, "And thre", Time::ZERO);
        conversation.agent_said(&item, 1, "And three.", Time::ZERO);
        // Told late, and again.
        conversation.agent_said(&item, 0, "Something else.", Time::ZERO);
        assert_eq!(said(&conversation), "We have two o'clock. And three.");
        // A server that tells nothing bit by bit.
        let item = ModelId::new("item_2");
        conversation.agent_said(&item, 0, "Good day.", Time::ZERO);
        let turn = conversation.settle(&settled(&item, 1_000, 1_000), Time::ZERO);
        assert_eq!(turn.heard.as_deref(), Some("Good day."));
        // After the caller has cut it, too.
        let item = ModelId::new("item_3");
        conversation.agent_words(&item, 0, "one", Time::ZERO);
        conversation.settle(&settled(&item, 1_000, 500), Time::ZERO);
        conversation.agent_said(&item, 0, "one two three", Time::ZERO);
        let turn = conversation.turns().next_back();
        assert_eq!(turn.and_then(|turn| turn.heard.as_deref()), Some("one"));
    }

    #[test]
    fn the_heard_part_is_never_more_than_was_said() {
        assert_eq!(heard_part("one two three", 5, 0), "");
        assert_eq!(heard_part("one two three", 9_000, 1_000), "one two three");
        assert_eq!(heard_part("one two three", 500, 1_000), "one");
        assert_eq!(
            heard_part("Donaudampfschiff", 500, 1_000),
            "",
            "no whole word"
        );
    }

    #[test]
    fn words_of_the_caller_are_told_once_whenever_they_come() {
        let mut conversation = Conversation::default();
        let item = ModelId::new("item_u");
        assert!(
            conversation
                .caller_words(&item, Some(" Hello. ".into()), Time::ZERO)
                .is_some()
        );
        conversation.caller_turn(&item, Time::ZERO);
        assert!(
            conversation
                .caller_words(&item, Some("again".into()), Time::ZERO)
                .is_none()
        );
        assert_eq!(
            conversation
                .turns()
                .next()
                .and_then(|turn| turn.said.as_deref()),
            Some("Hello.")
        );
    }

    #[test]
    fn a_long_call_keeps_its_last_turns() {
        let mut conversation = Conversation::default();
        for n in 0..KEPT_TURNS + 3 {
            conversation.caller_turn(&ModelId::new(&format!("item_{n}")), Time::ZERO);
        }
        assert_eq!(conversation.turns().count(), KEPT_TURNS);
        assert_eq!(conversation.count(), KEPT_TURNS as u64 + 3);
    }
}

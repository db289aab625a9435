//! The playback ledger: which of the model's audio has been sent, heard, cut.
//!
//! The model makes speech about five times faster than it can be heard. What it has made lies in one of four places:
//! waiting here, inside Twilio, in the caller's ear, or thrown away. The ledger keeps a stream position for each byte
//! sent and knows how far the caller has listened from two facts: the marks Twilio sends back, and the clock since
//! the last of them, at eight bytes a millisecond, never beyond what was sent.
//!
//! Audio is sent ahead by a bounded lead ([`LEAD_MS`]) rather than straight through: what lies inside Twilio can only
//! be removed by `clear`, and the less of it there is the better the position is known.

use std::time::Duration;

use bytes::BytesMut;

use crate::audio::payload::Payload;
use crate::audio::{BYTES_PER_MS, FRAME_BYTES, bytes_to_ms, ms_to_bytes};
use crate::ids::{ModelId, PartKey};
use crate::time::Time;
use std::collections::VecDeque;

/// Milliseconds of audio kept inside Twilio while the model is ahead. Two refills of [`CHUNK_MS`]: one may be late by
/// a whole chunk before the caller hears a gap.
pub const LEAD_MS: u64 = 400;

/// Milliseconds sent at once while pacing: five wake-ups a second, not fifty.
pub const CHUNK_MS: u64 = 200;

/// Milliseconds between marks inside a part; its end gets one anyway.
const MARK_EVERY_MS: u64 = 500;

/// Bytes that may wait here: two minutes of speech. Nobody listens to a longer answer; beyond it audio is dropped and
/// counted.
const MAX_QUEUED: usize = 120 * 8_000;

/// A mark may be this late before sending stops: the phone leg does not play what it has.
const MARK_GRACE: Duration = Duration::from_secs(2);

/// What the ledger wants sent to Twilio.
#[derive(Debug)]
pub enum Outgoing {
    /// Audio.
    Audio {
        /// It.
        payload: Payload,
        /// When its first byte is heard, by the clock.
        begins: Time,
    },
    /// A mark with this number.
    Mark(u64),
}

/// A part whose playback is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The part.
    pub key: PartKey,
    /// Milliseconds received from the model.
    pub received_ms: u64,
    /// Milliseconds sent to Twilio.
    pub sent_ms: u64,
    /// Milliseconds the caller heard.
    pub heard_ms: u64,
    /// When the caller began to hear it, if they did: by the first mark that came back, which took its time, or by the clock.
    pub began: Option<Time>,
    /// Whether something of it was not heard.
    pub cut: bool,
}

/// What a returned mark meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkMeaning {
    /// All audio before it was heard.
    Heard,
    /// It came back because the audio before it was thrown away.
    Flushed,
    /// Not one of ours, or one that came back before.
    Unknown,
}

/// What became of a stretch of audio handed to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is booked.
    Booked,
    /// Too much waits already.
    Full,
    /// Its part was over.
    OutOfTurn,
}

/// An interruption, as the ledger saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interruption {
    /// Whether Twilio holds something that must be cleared.
    pub clear: bool,
    /// All parts that were not settled before, in playback order.
    pub parts: Vec<Settled>,
}

/// Bytes, by what became of them; `sent == heard + flushed + outstanding` at all times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Received from the model and booked.
    pub received: u64,
    /// Sent to Twilio.
    pub sent: u64,
    /// Heard by the caller.
    pub heard: u64,
    /// Thrown away inside Twilio.
    pub flushed: u64,
    /// Inside Twilio.
    pub outstanding: u64,
    /// Thrown away here, or refused because too much waited.
    pub dropped: u64,
}

#[derive(Debug)]
struct Part {
    key: PartKey,
    received: u64,
    waiting: BytesMut,
    /// Stream position of the first byte sent.
    start: u64,
    sent: u64,
    /// When its first byte is heard, as far as is known.
    begins: Option<Time>,
    /// Whether a mark has proved it, or none can any more.
    begin_is_final: bool,
    done: bool,
    /// Whether it was done because its session was lost: words of it are missing.
    broken_off: bool,
}

impl Part {
    /// Bytes that may be sent now: whole frames while more may come.
    fn sendable(&self) -> usize {
        let waiting = self.waiting.len();
        if self.done {
            waiting
        } else {
            waiting / FRAME_BYTES * FRAME_BYTES
        }
    }

    fn settle(self, heard_to: u64) -> Settled {
        let heard = heard_to.saturating_sub(self.start).min(self.sent);
        Settled {
            received_ms: bytes_to_ms(self.received),
            sent_ms: bytes_to_ms(self.sent),
            heard_ms: bytes_to_ms(heard),
            began: self.begins.filter(|_| heard > 0),
            cut: !self.done || self.broken_off || heard < self.received,
            key: self.key,
        }
    }
}

#[derive(Debug)]
struct MarkOut {
    number: u64,
    position: u64,
}

/// The ledger of one media stream.
#[derive(Debug)]
pub struct Playback {
    /// Bytes that may go ahead of the time at which they are played.
    lead: u64,
    parts: VecDeque<Part>,
    waiting: usize,
    received: u64,
    sent: u64,
    flushed: u64,
    dropped: u64,
    /// At this time the caller had heard up to this position.
    anchor: (Time, u64),
    /// The same for pacing: when the last run of audio was sent off. It does not move back when a mark comes late, as
    /// every mark does by the way there and back; pacing by `anchor` would starve a distant phone.
    pace: (Time, u64),
    marks: VecDeque<MarkOut>,
    /// When the oldest mark should have been back, once playback went on from an empty queue without it.
    owed_since: Option<Time>,
    marked: u64,
    last_mark: u64,
    /// Marks up to this number came back, or will, because of `clear`.
    void_to: u64,
    returned_to: u64,
}

impl Default for Playback {
    fn default() -> Self {
        Self::with_lead(LEAD_MS)
    }
}

impl Playback {
    /// A ledger that sends so many milliseconds ahead, [`LEAD_MS`] in every call; never less than [`CHUNK_MS`].
    #[must_use]
    pub fn with_lead(lead_ms: u64) -> Self {
        Self {
            lead: ms_to_bytes(lead_ms.max(CHUNK_MS)),
            parts: VecDeque::new(),
            waiting: 0,
            received: 0,
            sent: 0,
            flushed: 0,
            dropped: 0,
            anchor: Default::default(),
            pace: Default::default(),
            marks: VecDeque::new(),
            owed_since: None,
            marked: 0,
            last_mark: 0,
            void_to: 0,
            returned_to: 0,
        }
    }

    /// Books audio and holds it: no stream to send it on yet.
    pub fn hold(&mut self, key: &PartKey, payload: &Payload) -> Taken {
        match self.part(key) {
            Some(index) => self.wait(index, payload),
            None => Taken::OutOfTurn,
        }
    }

    /// Books audio and sends as much as the lead allows.
    pub fn play(
        &mut self,
        key: &PartKey,
        payload: Payload,
        now: Time,
        out: &mut impl FnMut(Outgoing),
    ) -> Taken {
        let Some(index) = self.part(key) else {
            return Taken::OutOfTurn;
        };
        let length = payload.audio_bytes() as u64;
        let aligned = payload.audio_bytes().is_multiple_of(FRAME_BYTES);
        if self.waiting == 0 && aligned && length <= self.room(now) && !self.is_stalled(now) {
            self.parts[index].received += length;
            self.received += length;
            let begins = self.book_sent(index, length, now);
            out(Outgoing::Audio { payload, begins });
            self.mark_if_due(index, out);
            return Taken::Booked;
        }
        let taken = self.wait(index, &payload);
        self.send(now, out);
        taken
    }

    /// The part has no more audio.
    pub fn finish(&mut self, key: &PartKey, now: Time, out: &mut impl FnMut(Outgoing)) {
        if self.end_part(key) {
            self.send(now, out);
        }
    }

    /// The part has no more audio, and there is no stream to send on yet.
    pub fn finish_held(&mut self, key: &PartKey) {
        self.end_part(key);
    }

    /// Responses are over: parts of them that were not finished are now.
    pub fn finish_responses(&mut self, is_over: impl Fn(&ModelId) -> bool) {
        for part in &mut self.parts {
            part.done |= is_over(&part.key.response);
        }
    }

    /// The session is lost: what is here of its last part is all there will be.
    pub fn break_off(&mut self) {
        for part in self.parts.iter_mut().filter(|part| !part.done) {
            part.done = true;
            part.broken_off = true;
        }
    }

    /// The parts of which something is not settled.
    pub fn keys(&self) -> impl Iterator<Item = &PartKey> {
        self.parts.iter().map(|part| &part.key)
    }

    /// The responses of which something is not settled.
    pub fn responses(&self) -> impl Iterator<Item = &ModelId> {
        self.parts.iter().map(|part| &part.key.response)
    }

    /// Asks again for word of what is still unheard.
    pub fn mark_again(&mut self, out: &mut impl FnMut(Outgoing)) {
        if !self.marks.is_empty() {
            self.mark(out);
        }
    }

    /// Sends what the lead allows.
    pub fn send(&mut self, now: Time, out: &mut impl FnMut(Outgoing)) {
        if self.is_stalled(now) {
            return;
        }
        for index in 0..self.parts.len() {
            let sendable = self.parts[index].sendable();
            let room = usize::try_from(self.room(now)).unwrap_or(usize::MAX);
            let wanted = sendable.min(ms_to_bytes(CHUNK_MS) as usize);
            if sendable > 0 && room >= wanted {
                let whole_frames = room / FRAME_BYTES * FRAME_BYTES;
                let length = if sendable <= room {
                    sendable
                } else {
                    whole_frames
                };
                let audio = self.parts[index].waiting.split_to(length);
                self.waiting -= length;
                let begins = self.book_sent(index, length as u64, now);
                let payload = Payload::from_audio(&audio);
                out(Outgoing::Audio { payload, begins });
            }
            self.mark_if_due(index, out);
            if !self.parts[index].waiting.is_empty() {
                return;
            }
        }
    }

    /// When [`send`](Self::send) should be called next, if anything waits that it could send.
    #[must_use]
    pub fn next_send(&self, now: Time) -> Option<Time> {
        let part = self.parts.iter().find(|part| part.sendable() > 0)?;
        if self.is_stalled(now) {
            // A mark that comes back starts it again; look now and then for the stall to be called one.
            return Some(now + MARK_GRACE);
        }
        let wanted = (part.sendable() as u64).min(ms_to_bytes(CHUNK_MS));
        let allowed = self.lead - wanted;
        let excess = self.ahead(now).saturating_sub(allowed);
        Some(now + Duration::from_micros(excess * 1_000 / BYTES_PER_MS))
    }

    /// A mark came back.
    pub fn mark_back(
        &mut self,
        number: u64,
        now: Time,
        settled: &mut impl FnMut(Settled),
    ) -> MarkMeaning {
        if number == 0 || number > self.marked || number <= self.returned_to {
            return MarkMeaning::Unknown;
        }
        self.returned_to = number;
        if number <= self.void_to {
            return MarkMeaning::Flushed;
        }
        while let Some(mark) = self.marks.front() {
            if mark.number > number {
                break;
            }
            self.anchor = (now, mark.position);
            if along(self.pace, now, self.sent) < mark.position {
                self.pace = (now, mark.position);
            }
            self.owed_since = None;
            self.marks.pop_front();
        }
        self.date_beginnings();
        let heard_to = self.anchor.1;
        while let Some(part) = self.parts.front() {
            let over = part.done && part.waiting.is_empty() && part.start + part.sent <= heard_to;
            if !over {
                break;
            }
            if let Some(part) = self.parts.pop_front() {
                settled(part.settle(heard_to));
            }
        }
        MarkMeaning::Heard
    }

    /// The caller interrupts: all that they have not heard is thrown away.
    pub fn interrupt(&mut self, now: Time) -> Interruption {
        let heard_to = self.heard_position(now);
        let clear = self.sent > heard_to || !self.marks.is_empty();
        self.dropped += self.waiting as u64;
        self.flushed += self.sent - heard_to;
        self.waiting = 0;
        self.anchor = (now, self.sent);
        self.pace = (now, self.sent);
        self.void_to = self.marked;
        self.marks.clear();
        self.owed_since = None;
        self.last_mark = self.sent;
        let parts = self
            .parts
            .drain(..)
            .map(|part| part.settle(heard_to))
            .collect();
        Interruption { clear, parts }
    }

    /// Whether the caller has anything left to hear.
    #[must_use]
    pub fn is_unheard(&self, now: Time) -> bool {
        self.waiting > 0 || self.sent > self.heard_position(now) || !self.marks.is_empty()
    }

    /// Milliseconds that lie here and inside Twilio.
    #[must_use]
    pub fn unheard_ms(&self, now: Time) -> u64 {
        bytes_to_ms(self.outstanding(now) + self.waiting as u64)
    }

    /// Milliseconds of a part heard so far, if its playback is not over.
    #[must_use]
    pub fn heard_ms_of(&self, item: &ModelId, now: Time) -> Option<u64> {
        let heard_to = self.heard_position(now);
        let part = self.parts.iter().find(|part| part.key.item == *item)?;
        Some(bytes_to_ms(
            heard_to.saturating_sub(part.start).min(part.sent),
        ))
    }

    /// Milliseconds of a part received so far, if its playback is not over.
    #[must_use]
    pub fn received_ms_of(&self, item: &ModelId) -> Option<u64> {
        let part = self.parts.iter().find(|part| part.key.item == *item)?;
        Some(bytes_to_ms(part.received))
    }

    /// How long the oldest mark is overdue: audio that must have been heard and was not acknowledged.
    #[must_use]
    pub fn overdue(&self, now: Time) -> Option<Duration> {
        let late = now.since(self.acknowledge_by()?);
        (!late.is_zero()).then_some(late)
    }

    /// When the oldest mark should be back.
    #[must_use]
    pub fn acknowledge_by(&self) -> Option<Time> {
        let mark = self.marks.front()?;
        let (since, position) = self.anchor;
        let missing = bytes_to_ms(mark.position.saturating_sub(position));
        Some(
            self.owed_since
                .unwrap_or(since + Duration::from_millis(missing)),
        )
    }

    /// Bytes by what became of them.
    #[must_use]
    pub fn totals(&self, now: Time) -> Totals {
        let gone = self.heard_position(now);
        Totals {
            received: self.received,
            sent: self.sent,
            heard: gone - self.flushed,
            flushed: self.flushed,
            outstanding: self.sent - gone,
            dropped: self.dropped,
        }
    }

    /// Index of the part, opened if it is new; `None` if it is over.
    fn part(&mut self, key: &PartKey) -> Option<usize> {
        match self.parts.iter().rposition(|part| part.key == *key) {
            Some(index) if self.parts[index].done => None,
            Some(index) => Some(index),
            None => {
                // Deltas come in playback order: a new part ends the ones before it.
                for part in &mut self.parts {
                    part.done = true;
                }
                self.parts.push_back(Part {
                    key: key.clone(),
                    received: 0,
                    waiting: BytesMut::new(),
                    start: self.sent,
                    sent: 0,
                    begins: None,
                    begin_is_final: false,
                    done: false,
                    broken_off: false,
                });
                Some(self.parts.len() - 1)
            }
        }
    }

    fn wait(&mut self, index: usize, payload: &Payload) -> Taken {
        let length = payload.audio_bytes();
        if self.waiting + length > MAX_QUEUED {
            self.dropped += length as u64;
            return Taken::Full;
        }
        let part = &mut self.parts[index];
        payload.decode_into(&mut part.waiting);
        part.received += length as u64;
        self.received += length as u64;
        self.waiting += length;
        Taken::Booked
    }

    fn end_part(&mut self, key: &PartKey) -> bool {
        let Some(part) = self.parts.iter_mut().find(|part| part.key == *key) else {
            return false;
        };
        part.done = true;
        true
    }

    /// A mark tells when the parts before it began to be heard.
    fn date_beginnings(&mut self) {
        let (now, position) = self.anchor;
        for part in &mut self.parts {
            if part.begin_is_final || part.sent == 0 || part.start >= position {
                continue;
            }
            let played = (position - part.start) * 1_000 / BYTES_PER_MS;
            let began = Time::from_micros(now.as_micros().saturating_sub(played));
            part.begins = part.begins.max(Some(began));
            part.begin_is_final = true;
        }
    }

    /// Gives when the first of these bytes is heard.
    fn book_sent(&mut self, index: usize, length: u64, now: Time) -> Time {
        if self.outstanding(now) == 0 {
            // Twilio has run dry: playback begins again with this stretch. What it owes it owes from before.
            self.owed_since = self.acknowledge_by();
            self.anchor = (now, self.sent);
            // Across a pause no mark tells when something before it was heard.
            for part in self.parts.iter_mut().filter(|part| part.sent > 0) {
                part.begin_is_final = true;
            }
        }
        if self.ahead(now) == 0 {
            self.pace = (now, self.sent);
        }
        let begins = now + Duration::from_millis(bytes_to_ms(self.outstanding(now)));
        let part = &mut self.parts[index];
        if part.sent == 0 {
            part.start = self.sent;
            part.begins = Some(begins);
        }
        part.sent += length;
        self.sent += length;
        begins
    }

    fn mark_if_due(&mut self, index: usize, out: &mut impl FnMut(Outgoing)) {
        let part = &self.parts[index];
        let unmarked = self.sent - self.last_mark;
        let ended = part.done && part.waiting.is_empty() && part.sent > 0;
        // Only the part that was sent last can own the end of the stream.
        let at_end = part.start + part.sent == self.sent;
        if unmarked >= ms_to_bytes(MARK_EVERY_MS) || (ended && at_end && unmarked > 0) {
            self.mark(out);
        }
    }

    fn mark(&mut self, out: &mut impl FnMut(Outgoing)) {
        self.marked += 1;
        self.last_mark = self.sent;
        self.marks.push_back(MarkOut {
            number: self.marked,
            position: self.sent,
        });
        out(Outgoing::Mark(self.marked));
    }

    fn heard_position(&self, now: Time) -> u64 {
        along(self.anchor, now, self.sent)
    }

    /// Bytes that went ahead of the time at which they are played.
    fn ahead(&self, now: Time) -> u64 {
        self.sent - along(self.pace, now, self.sent)
    }

    fn outstanding(&self, now: Time) -> u64 {
        self.sent - self.heard_position(now)
    }

    fn room(&self, now: Time) -> u64 {
        self.lead.saturating_sub(self.ahead(now))
    }

    fn is_stalled(&self, now: Time) -> bool {
        self.overdue(now).is_some_and(|late| late > MARK_GRACE)
    }
}

/// Where playback is at `now` if it was at `position` at `since`, at eight bytes a millisecond, never beyond `sent`.
fn along((since, position): (Time, u64), now: Time, sent: u64) -> u64 {
    // Microseconds times 8 / 1000, so that a fraction of a millisecond counts.
    let micros = u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX);
    let played =
        (micros / 1_000).saturating_mul(BYTES_PER_MS) + (micros % 1_000) * BYTES_PER_MS / 1_000;
    position.saturating_add(played).min(sent)
}

#[cfg(test)]
#[path = "playback_tests.rs"]
mod tests;

//! Straight through or paced: what a bounded lead costs and what it buys, on virtual time.
//!
//! The phone here plays eight bytes a millisecond, begins late as a jitter buffer does, is some way off, and stops now
//! and then for a moment. It tells the truth at the end: what the caller heard.

use std::time::Duration;

use bytes::Bytes;
use call_protocol::audio::payload::Payload;
use call_protocol::ids::{ModelId, PartKey};
use call_protocol::phone::playback::{LEAD_MS, Outgoing, Playback};
use call_protocol::time::Time;

/// Longer than any answer: everything goes straight through.
const STRAIGHT: u64 = 1_000_000;

/// Milliseconds of audio in a delta; the model makes them five times faster than they are heard.
const DELTA_MS: u64 = 100;

#[derive(Default)]
struct Phone {
    /// Milliseconds to the phone, and back.
    away: u64,
    /// What has been sent: when it arrives, and how many bytes or which mark.
    way: Vec<(u64, Sent)>,
    queue: std::collections::VecDeque<Sent>,
    begins_at: Option<u64>,
    jitter: u64,
    /// It plays nothing in these milliseconds.
    pause: std::ops::Range<u64>,
    played: u64,
    back: Vec<(u64, u64)>,
}

#[derive(Clone, Copy)]
enum Sent {
    Audio(u64),
    Mark(u64),
}

impl Phone {
    /// One millisecond of its life.
    fn tick(&mut self, now: u64) {
        while let Some((due, sent)) = self.way.first().copied() {
            if due > now {
                break;
            }
            self.way.remove(0);
            self.queue.push_back(sent);
            self.begins_at.get_or_insert(now + self.jitter);
        }
        if self.begins_at.is_none_or(|begin| now < begin) || self.pause.contains(&now) {
            return;
        }
        let mut budget = 8;
        while let Some(first) = self.queue.front_mut() {
            match first {
                Sent::Audio(bytes) => {
                    let now_played = budget.min(*bytes);
                    self.played += now_played;
                    budget -= now_played;
                    *bytes -= now_played;
                    if *bytes > 0 {
                        return;
                    }
                }
                Sent::Mark(number) => self.back.push((now + self.away, *number)),
            }
            self.queue.pop_front();
        }
    }

    fn unplayed_ms(&self) -> u64 {
        let bytes = |sent: &Sent| match sent {
            Sent::Audio(bytes) => *bytes,
            Sent::Mark(_) => 0,
        };
        self.queue.iter().map(bytes).sum::<u64>() / 8
    }
}

#[derive(Debug, Default)]
struct Figures {
    errors_ms: Vec<u64>,
    thrown_away_ms: Vec<u64>,
    messages: u64,
    answers: u64,
}

impl Figures {
    fn line(&mut self, name: &str) -> String {
        self.errors_ms.sort_unstable();
        self.thrown_away_ms.sort_unstable();
        let at = |sorted: &[u64], share: usize| sorted[(sorted.len() - 1) * share / 100];
        format!(
            "{name:8} truncation error p50 {} p95 {} max {} ms; inside the phone when cleared p50 {} max {} ms; {} messages an answer",
            at(&self.errors_ms, 50),
            at(&self.errors_ms, 95),
            at(&self.errors_ms, 100),
            at(&self.thrown_away_ms, 50),
            at(&self.thrown_away_ms, 100),
            self.messages / self.answers
        )
    }
}

/// An answer of ten seconds, interrupted at that millisecond.
fn answer(lead_ms: u64, mut phone: Phone, interrupted_at: u64, figures: &mut Figures) {
    let mut playback = Playback::with_lead(lead_ms);
    let key = PartKey {
        response: ModelId::new("r"),
        item: ModelId::new("i"),
        part: 0,
    };
    let delta = Payload::from_audio(&vec![0x7F; (DELTA_MS * 8) as usize]);
    let delta = Payload::from_base64(Bytes::copy_from_slice(delta.as_base64()), 100_000).unwrap();
    let mut next_send = None;
    for now in 0..interrupted_at {
        let time = Time::ZERO + Duration::from_millis(now);
        let mut out = Vec::new();
        if now % (DELTA_MS / 5) == 0 && now * 5 < 10_000 {
            playback.play(&key, delta.clone(), time, &mut |sent| out.push(sent));
        }
        if next_send.is_some_and(|due| due <= time) {
            playback.send(time, &mut |sent| out.push(sent));
        }
        for (_, number) in phone.back.extract_if(.., |(due, _)| *due <= now) {
            playback.mark_back(number, time, &mut |_| {});
            playback.send(time, &mut |sent| out.push(sent));
        }
        next_send = playback.next_send(time);
        for sent in out {
            figures.messages += 1;
            let sent = match sent {
                Outgoing::Audio { payload, .. } => Sent::Audio(payload.audio_bytes() as u64),
                Outgoing::Mark(number) => Sent::Mark(number),
            };
            phone.way.push((now + phone.away, sent));
        }
        phone.tick(now);
    }
    figures.answers += 1;
    figures.thrown_away_ms.push(phone.unplayed_ms());
    let now = Time::ZERO + Duration::from_millis(interrupted_at);
    let parts = playback.interrupt(now).parts;
    let believed: u64 = parts.iter().map(|part| part.heard_ms).sum();
    figures.errors_ms.push(believed.abs_diff(phone.played / 8));
}

#[test]
fn a_bounded_lead_knows_as_well_what_was_heard_and_leaves_less_to_throw_away() {
    let (mut straight, mut paced) = (Figures::default(), Figures::default());
    for case in 0..300u64 {
        // Spread over the answer, the distance and the phone's whims, the same for both.
        let interrupted_at = 900 + case * 29;
        let pause = 700 + case * 13 % 5_000;
        let phone = || Phone {
            away: 10 + case * 7 % 60,
            jitter: case * 11 % 120,
            pause: if case % 3 == 0 {
                pause..pause + 150
            } else {
                0..0
            },
            ..Phone::default()
        };
        answer(STRAIGHT, phone(), interrupted_at, &mut straight);
        answer(LEAD_MS, phone(), interrupted_at, &mut paced);
    }
    println!("{}\n{}", straight.line("straight"), paced.line("paced"));
    let most = |figures: &Figures| *figures.thrown_away_ms.last().unwrap();
    assert!(
        most(&paced) <= LEAD_MS + 120 + 150,
        "what a late beginning and one pause add"
    );
    assert!(most(&straight) > 5_000);
    let worst = |figures: &Figures| *figures.errors_ms.last().unwrap();
    assert!(worst(&paced) <= worst(&straight) + 20);
    let median = |figures: &Figures| figures.errors_ms[figures.errors_ms.len() / 2];
    assert!(median(&paced) <= 60, "about the way there");
}

use super::*;
use proptest::prelude::*;

fn key(response: &str, item: &str, part: u32) -> PartKey {
    PartKey {
        response: ModelId::new(response),
        item: ModelId::new(item),
        part,
    }
}

fn audio(ms: u64) -> Payload {
    Payload::from_audio(&vec![0x55; ms_to_bytes(ms) as usize])
}

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

/// A ledger and what it sent: milliseconds of audio, and marks.
#[derive(Default)]
struct Bench {
    ledger: Playback,
    sent: Vec<u64>,
    marks: Vec<u64>,
    settled: Vec<Settled>,
}

impl Bench {
    fn play(&mut self, key: &PartKey, payload: Payload, now: Time) -> Taken {
        let (sent, marks) = (&mut self.sent, &mut self.marks);
        self.ledger.play(key, payload, now, &mut |out| match out {
            Outgoing::Audio { payload, .. } => sent.push(bytes_to_ms(payload.audio_bytes() as u64)),
            Outgoing::Mark(number) => marks.push(number),
        })
    }

    fn finish(&mut self, key: &PartKey, now: Time) {
        let (sent, marks) = (&mut self.sent, &mut self.marks);
        self.ledger.finish(key, now, &mut |out| match out {
            Outgoing::Audio { payload, .. } => sent.push(bytes_to_ms(payload.audio_bytes() as u64)),
            Outgoing::Mark(number) => marks.push(number),
        });
    }

    fn send(&mut self, now: Time) {
        let (sent, marks) = (&mut self.sent, &mut self.marks);
        self.ledger.send(now, &mut |out| match out {
            Outgoing::Audio { payload, .. } => sent.push(bytes_to_ms(payload.audio_bytes() as u64)),
            Outgoing::Mark(number) => marks.push(number),
        });
    }

    fn mark_back(&mut self, number: u64, now: Time) -> MarkMeaning {
        let settled = &mut self.settled;
        self.ledger
            .mark_back(number, now, &mut |part| settled.push(part))
    }

    fn total_sent(&self) -> u64 {
        self.sent.iter().sum()
    }
}

#[test]
fn a_frame_goes_straight_through_while_there_is_room() {
    let mut bench = Bench::default();
    let part = key("r", "i", 0);
    for n in 0..50 {
        assert_eq!(bench.play(&part, audio(20), at(n * 20)), Taken::Booked);
    }
    assert_eq!(bench.sent, vec![20; 50]);
    assert_eq!(bench.marks, [1, 2], "one mark each half second");
}

#[test]
fn a_burst_is_sent_ahead_by_the_lead_and_then_paced() {
    let mut bench = Bench::default();
    let part = key("r", "i", 0);
    bench.play(&part, audio(3_000), at(0));
    assert_eq!(bench.total_sent(), LEAD_MS);
    let wake = bench.ledger.next_send(at(0));
    assert_eq!(wake, Some(at(CHUNK_MS)));
    bench.send(at(100));
    assert_eq!(
        bench.total_sent(),
        LEAD_MS,
        "less than a chunk of room is not worth a message"
    );
    bench.send(at(200));
    assert_eq!(bench.total_sent(), LEAD_MS + CHUNK_MS);
}

#[test]
fn nothing_is_lost_or_padded_inside_an_item() {
    let mut bench = Bench::default();
    let part = key("r", "i", 0);
    let mut bytes = 0;
    for length in [37usize, 161, 1, 400, 999, 3] {
        bench.play(&part, Payload::from_audio(&vec![1; length]), at(0));
        bytes += length as u64;
    }
    bench.finish(&part, at(0));
    let totals = bench.ledger.totals(at(0));
    assert_eq!(totals.received, bytes);
    assert_eq!(totals.sent, bytes, "the remainder went out at the end");
}

#[test]
fn a_part_is_heard_when_the_mark_behind_it_returns() {
    let mut bench = Bench::default();
    let part = key("r", "i", 0);
    bench.play(&part, audio(200), at(0));
    bench.finish(&part, at(10));
    assert_eq!(bench.marks, [1]);
    assert_eq!(bench.mark_back(1, at(205)), MarkMeaning::Heard);
    let expected = Settled {
        key: part,
        received_ms: 200,
        sent_ms: 200,
        heard_ms: 200,
        began: Some(at(5)),
        cut: false,
    };
    assert_eq!(bench.settled, [expected]);
    assert!(!bench.ledger.is_unheard(at(205)));
}

#[test]
fn between_marks_the_clock_counts_but_never_beyond_what_was_sent() {
    let mut bench = Bench::default();
    let part = key("r", "i", 0);
    bench.play(&part, audio(300), at(0));
    assert_eq!(bench.ledger.heard_ms_of(&part.item, at(120)), Some(120));
    assert_eq!(bench.ledger.heard_ms_of(&part.item, at(9_000)), Some(300));
}

#[test]
fn playback_starts_again_where_twilio_ran_dry() {
    let mut bench = Bench::default();
    let part = key("r", "i", 0);
    bench.play(&part, audio(100), at(0));
    bench.play(&part, audio(100), at(1_000));
    assert_eq!(bench.ledger.heard_ms_of(&part.item, at(1_030)), Some(130));
}

#[test]
fn an_interruption_cuts_at_what_was_heard() {
    let mut bench = Bench::default();
    let (first, second) = (key("r", "a", 0), key("r", "b", 0));
    bench.play(&first, audio(300), at(0));
    bench.finish(&first, at(0));
    bench.play(&second, audio(2_000), at(0));
    bench.send(at(200));
    let interruption = bench.ledger.interrupt(at(350));
    assert!(interruption.clear);
    let heard: Vec<_> = interruption
        .parts
        .iter()
        .map(|part| (part.heard_ms, part.cut))
        .collect();
    assert_eq!(
        heard,
        [(300, false), (50, true)],
        "the first was heard whole by the clock"
    );
    assert!(!bench.ledger.is_unheard(at(350)));
    let totals = bench.ledger.totals(at(350));
    assert_eq!(
        totals.sent,
        totals.heard + totals.flushed + totals.outstanding
    );
    assert_eq!(totals.received, totals.sent + totals.dropped);
}

#[test]
fn an_interruption_before_the_first_frame_has_nothing_to_clear() {
    let mut ledger = Playback::default();
    assert_eq!(ledger.interrupt(at(5)), Interruption::default());
}

#[test]
fn marks_that_return_because_of_clear_are_not_heard() {
    let mut bench = Bench::default();
    let part = key("r", "i", 0);
    bench.play(&part, audio(200), at(0));
    bench.finish(&part, at(0));
    bench.ledger.interrupt(at(50));
    assert_eq!(bench.mark_back(1, at(60)), MarkMeaning::Flushed);
    assert_eq!(
        bench.mark_back(1, at(61)),
        MarkMeaning::Unknown,
        "only once"
    );
    assert_eq!(
        bench.mark_back(9, at(61)),
        MarkMeaning::Unknown,
        "never sent"
    );
    assert!(bench.settled.is_empty());
}

#[test]
fn audio_for_a_part_that_is_over_is_refused() {
    let mut bench = Bench::default();
    let (first, second) = (key("r", "a", 0), key("r", "b", 0));
    bench.play(&first, audio(20), at(0));
    bench.play(&second, audio(20), at(0));
    assert_eq!(bench.play(&first, audio(20), at(0)), Taken::OutOfTurn);
}

#[test]
fn too_much_waiting_audio_is_dropped_and_counted() {
    let mut bench = Bench::default();
    let part = key("r", "i", 0);
    let second = audio(1_000);
    let taken: Vec<_> = (0..130)
        .map(|_| bench.play(&part, second.clone(), at(0)))
        .collect();
    assert!(taken.contains(&Taken::Full));
    let totals = bench.ledger.totals(at(0));
    assert_eq!(totals.received + totals.dropped, 130 * 8_000);
}

#[test]
fn a_distant_phone_is_never_starved() {
    for one_way in [0, 20, 125, 300] {
        let mut bench = Bench::default();
        let part = key("r", "i", 0);
        bench.play(&part, audio(10_000), at(0));
        bench.finish(&part, at(0));
        let (mut arrivals, mut seen, mut returned) = (Vec::new(), 0, 0);
        let mut marks_at: Vec<(u64, u64)> = Vec::new();
        for now in 0..12_000 {
            if bench
                .ledger
                .next_send(at(now))
                .is_some_and(|due| due <= at(now))
            {
                bench.send(at(now));
            }
            while seen < bench.sent.len() {
                arrivals.push((now + one_way, bench.sent[seen]));
                seen += 1;
            }
            let sent: u64 = bench.total_sent();
            while marks_at.len() < bench.marks.len() {
                // Played one way later than sent, told one way later than played.
                marks_at.push((2 * one_way + sent, bench.marks[marks_at.len()]));
            }
            while returned < marks_at.len() && marks_at[returned].0 <= now {
                bench.mark_back(marks_at[returned].1, at(now));
                returned += 1;
            }
            let arrived: u64 = arrivals
                .iter()
                .filter(|(when, _)| *when <= now)
                .map(|(_, ms)| ms)
                .sum();
            let played = now.saturating_sub(one_way).min(10_000);
            assert!(
                arrived >= played,
                "{one_way} ms one way: {played} ms due at {now}, {arrived} there"
            );
        }
        assert_eq!(bench.total_sent(), 10_000);
    }
}

#[test]
fn a_phone_that_acknowledges_nothing_is_sent_nothing_more() {
    let mut bench = Bench::default();
    let part = key("r", "i", 0);
    bench.play(&part, audio(60_000), at(0));
    let mut now = 0;
    while now < 20_000 {
        now += 100;
        bench.send(at(now));
    }
    assert!(
        bench.total_sent() < 4_000,
        "sent {} ms into a phone that plays nothing",
        bench.total_sent()
    );
    assert!(bench.ledger.overdue(at(now)) > Some(Duration::from_secs(10)));
    let first = bench.marks[0];
    bench.mark_back(first, at(now));
    bench.send(at(now));
    assert!(bench.ledger.overdue(at(now)).is_none());
}

proptest! {
    /// Twilio plays what it gets, as it gets it; whatever happens, no byte is unaccounted for.
    #[test]
    fn bytes_are_conserved(steps in proptest::collection::vec((0u8..5, 1usize..2_000, 0u64..300), 1..120)) {
        let mut bench = Bench::default();
        let mut now = 0;
        let mut item = 0;
        let mut acknowledged = 0;
        for (action, size, wait) in steps {
            now += wait;
            let part = key("r", &format!("i{item}"), 0);
            match action {
                0 | 1 => drop(bench.play(&part, Payload::from_audio(&vec![7; size]), at(now))),
                2 => {
                    bench.finish(&part, at(now));
                    item += 1;
                }
                3 => {
                    if acknowledged < bench.marks.len() {
                        bench.mark_back(bench.marks[acknowledged], at(now));
                        acknowledged += 1;
                    }
                }
                _ => {
                    bench.ledger.interrupt(at(now));
                    item += 1;
                }
            }
            bench.send(at(now));
            let totals = bench.ledger.totals(at(now));
            prop_assert_eq!(totals.sent, totals.heard + totals.flushed + totals.outstanding);
            // A mark that comes late turns the clock back, by no more than the grace it has.
            let most = LEAD_MS + MARK_EVERY_MS + 2 * MARK_GRACE.as_millis() as u64;
            prop_assert!(totals.outstanding <= ms_to_bytes(most));
            let waiting = bench.ledger.waiting as u64;
            let refused = totals.dropped;
            prop_assert!(totals.received + refused >= totals.sent + waiting);
        }
    }
}

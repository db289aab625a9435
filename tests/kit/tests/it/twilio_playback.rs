//! The playback queue on a clock that is handed in: 8 samples a millisecond.

use switchboard_kit::twilio::playback::{MAX_QUEUED_SAMPLES, Playback};

fn ms(ms: u64) -> u64 {
    ms * 8
}

fn due(playback: &mut Playback, now: u64) -> Vec<String> {
    std::iter::from_fn(|| playback.due_mark(now)).collect()
}

#[test]
fn audio_is_played_in_order_at_eight_samples_a_millisecond() {
    let mut playback = Playback::default();
    assert_eq!(playback.media(ms(100), 1_600).starts_at, ms(100));
    assert_eq!(playback.media(ms(101), 800).starts_at, ms(300));
    assert_eq!(playback.queued(ms(101)), ms(299));
    assert_eq!(playback.queued(ms(399)), ms(1));
    assert_eq!(playback.queued(ms(400)), 0);
    assert_eq!(playback.media(ms(2_000), 8).starts_at, ms(2_000));
}

#[test]
fn a_mark_comes_back_when_the_audio_before_it_has_been_played() {
    let mut playback = Playback::default();
    playback.media(0, 8_000);
    playback.mark(ms(10), "a".to_owned());
    // What comes after the mark does not delay it.
    playback.media(ms(20), 8_000);
    playback.mark(ms(20), "b".to_owned());
    assert_eq!(playback.next_mark_at(), Some(ms(1_000)));
    assert!(due(&mut playback, ms(1_000) - 1).is_empty());
    assert_eq!(due(&mut playback, ms(1_000)), ["a"]);
    assert_eq!(playback.outstanding_marks(), 1);
    assert_eq!(due(&mut playback, ms(2_000)), ["b"]);
    assert_eq!(playback.next_mark_at(), None);
}

#[test]
fn a_mark_on_an_idle_queue_comes_back_at_once() {
    let mut playback = Playback::default();
    playback.mark(ms(500), "idle".to_owned());
    assert_eq!(due(&mut playback, ms(500)), ["idle"]);
    playback.media(ms(500), 160);
    playback.mark(ms(520), "just played".to_owned());
    assert_eq!(due(&mut playback, ms(520)), ["just played"]);
}

#[test]
fn clear_throws_the_queue_away_and_returns_every_mark_in_order() {
    let mut playback = Playback::default();
    playback.media(0, 16_000);
    for name in ["a", "b", "c"] {
        playback.mark(0, name.to_owned());
    }
    let cleared = playback.clear(ms(500));
    assert_eq!(cleared.discarded, ms(1_500));
    assert_eq!(cleared.marks, ["a", "b", "c"]);
    assert_eq!(playback.queued(ms(500)), 0);
    assert_eq!(playback.clear(ms(501)).marks, Vec::<String>::new());
    // What comes next is played at once.
    assert_eq!(playback.media(ms(510), 160).starts_at, ms(510));
}

#[test]
fn a_gap_in_the_middle_of_a_run_is_an_underrun_and_a_pause_is_not() {
    let mut playback = Playback::default();
    assert_eq!(playback.media(ms(1_000), 160).underrun, None);
    assert_eq!(playback.media(ms(1_020), 160).underrun, None);
    assert_eq!(playback.media(ms(1_055), 160).underrun, Some(ms(15)));
    assert_eq!(playback.media(ms(1_576), 160).underrun, None);
    let after_pause = playback.media(ms(3_000), 160);
    assert_eq!(after_pause.underrun, None);
    assert!(after_pause.after_silence);
    playback.clear(ms(3_010));
    assert_eq!(playback.media(ms(3_100), 160).underrun, None);
}

#[test]
fn more_than_ten_minutes_are_not_queued() {
    let mut playback = Playback::default();
    let most = usize::try_from(MAX_QUEUED_SAMPLES).unwrap();
    assert_eq!(playback.media(0, most - 100).dropped, 0);
    let queued = playback.media(0, 300);
    assert_eq!((queued.accepted, queued.dropped), (100, 200));
    assert_eq!(playback.media(0, 10).dropped, 10);
    // Room is made by playing.
    assert_eq!(playback.media(ms(10), 80).dropped, 0);
}

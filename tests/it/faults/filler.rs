//! A filler of the operator's own: loaded from a file, heard while the model is away.

use std::ops::Range;

use switchboard_kit::realtime::Fault;
use switchboard_kit::speech;
use switchboard_kit::twilio::wav::{read_file, write_mono_file};
use switchboard_kit::twilio::{CallEnd, Step};

use test_support::chaos_fixture::longest_silence_ms;
use test_support::{Options, TestService, brief, caller, listen, times};

/// Bytes of the clip that are looked for: from its second quarter of a second to the end of its second second.
const PIECE: Range<usize> = 2_000..16_000;

#[tokio::test]
async fn f5_while_the_model_is_away_the_caller_hears_the_clip_of_the_settings() {
    let file = std::env::temp_dir().join(format!("switchboard-filler-{}.wav", std::process::id()));
    write_mono_file(&file, speech::caller("hello").unwrap().mulaw()).unwrap();
    // As the service reads it, too.
    let clip = read_file(&file).unwrap();
    let mut options = Options::default().model(brief().fault(Fault::SlowHandshake { ms: 4_500 }));
    let filler = format!(
        "filler = {{ mode = \"clip\", clip = \"{}\" }}\n[fallback]",
        file.display()
    );
    options.toml = options.toml.replace("[fallback]", &filler);
    let service = TestService::start(options).await;
    let outcome = service.line().call(caller([listen(), Step::HangUp])).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let heard = &outcome.streams[0].heard;
    let piece = &clip[PIECE];
    let at = heard
        .windows(piece.len())
        .position(|window| window == piece);
    let speech = &outcome.streams[0].agent_speech;
    let at = at.unwrap_or_else(|| {
        panic!(
            "not heard; sounds: {speech:?}, clip of {} ms",
            clip.len() / 8
        )
    });
    let begins = at.saturating_sub(PIECE.start) / 8;
    assert!(begins >= 1_900, "{begins} ms after start");
    times::within_ms(begins as u64, 2_300, "the filler's first sound");
    let silence_ms = longest_silence_ms(&outcome);
    times::within_ms(silence_ms, 2_300, "silence");
    service.stop().await;
    let _ = std::fs::remove_file(file);
    println!(
        "F5 a clip as filler, the model {} ms away: heard {begins} ms after start, {} ms of it found byte for byte",
        4_500,
        piece.len() / 8
    );
}

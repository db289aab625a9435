//! Who is on the phone: decides what is said and when, and hears what the service plays.

mod scripted;

use call_protocol::audio::{FRAME_BYTES, SILENCE};

pub use scripted::{Progress, Scripted, Step};

use super::fault::Fault;

/// The person (or machine) at the other end of the line.
pub trait Caller: Send {
    /// Called every 20 ms while a stream or a verb lasts, late but never left out; must be cheap.
    ///
    /// `now_ms` counts from the beginning of the call. `out` holds silence; what is written there is said in the next
    /// 20 ms. While the call is not on a media stream (`heard.on_stream` is false) only hanging up has an effect.
    fn frame(
        &mut self,
        now_ms: u64,
        heard: &Heard<'_>,
        out: &mut [u8; FRAME_BYTES],
    ) -> CallerAction;
}

impl<C: Caller + ?Sized> Caller for Box<C> {
    fn frame(
        &mut self,
        now_ms: u64,
        heard: &Heard<'_>,
        out: &mut [u8; FRAME_BYTES],
    ) -> CallerAction {
        (**self).frame(now_ms, heard, out)
    }
}

/// What the caller hears at this moment.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// The 20 ms just played, µ-law.
    pub frame: &'a [u8],
    /// Milliseconds of the agent's present stretch of speech; 0 when it is not speaking. Pauses below 300 ms belong to it.
    pub speaking_ms: u64,
    /// Milliseconds since anything loud was heard.
    pub quiet_ms: u64,
    /// Milliseconds of loud audio heard in this call.
    pub loud_ms: u64,
    /// False while a TwiML verb such as `<Say>` speaks.
    pub on_stream: bool,
}

/// What the caller does in this frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerAction {
    /// Says what is in the frame, which may be silence.
    Speak,
    /// Presses a key: `0`-`9`, `*`, `#`, `A`-`D`.
    Key(char),
    HangUp,
    /// Hangs up because the call did not go as it should; the reason becomes the call's end.
    GiveUp(String),
    /// Something goes wrong on the line.
    Fault(Fault),
}

/// Says nothing and never hangs up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Caller for Silent {
    fn frame(&mut self, _: u64, _: &Heard<'_>, _: &mut [u8; FRAME_BYTES]) -> CallerAction {
        CallerAction::Speak
    }
}

/// Plays a recording from the moment the stream is open, then listens, then hangs up.
#[derive(Debug, Clone)]
pub struct Player {
    audio: Vec<u8>,
    position: usize,
    hang_up_at_ms: u64,
}

impl Player {
    /// Plays `audio` (µ-law, 8 kHz) and hangs up when the call has lasted `hang_up_at_ms`.
    #[must_use]
    pub const fn new(audio: Vec<u8>, hang_up_at_ms: u64) -> Self {
        Self {
            audio,
            position: 0,
            hang_up_at_ms,
        }
    }
}

impl Caller for Player {
    fn frame(
        &mut self,
        now_ms: u64,
        heard: &Heard<'_>,
        out: &mut [u8; FRAME_BYTES],
    ) -> CallerAction {
        if now_ms >= self.hang_up_at_ms {
            return CallerAction::HangUp;
        }
        if heard.on_stream {
            copy_frame(&self.audio, &mut self.position, out);
        }
        CallerAction::Speak
    }
}

/// A caller made of a closure.
#[derive(Debug)]
pub struct FromFn<F>(F);

/// A caller made of a closure with the signature of [`Caller::frame`].
pub const fn from_fn<F>(frame: F) -> FromFn<F>
where
    F: FnMut(u64, &Heard<'_>, &mut [u8; FRAME_BYTES]) -> CallerAction + Send,
{
    FromFn(frame)
}

impl<F> Caller for FromFn<F>
where
    F: FnMut(u64, &Heard<'_>, &mut [u8; FRAME_BYTES]) -> CallerAction + Send,
{
    fn frame(
        &mut self,
        now_ms: u64,
        heard: &Heard<'_>,
        out: &mut [u8; FRAME_BYTES],
    ) -> CallerAction {
        (self.0)(now_ms, heard, out)
    }
}

/// Copies the next frame of `audio` and moves `position`; the rest of the frame is silence.
fn copy_frame(audio: &[u8], position: &mut usize, out: &mut [u8; FRAME_BYTES]) {
    let rest = audio.get(*position..).unwrap_or_default();
    let length = rest.len().min(out.len());
    out[..length].copy_from_slice(&rest[..length]);
    out[length..].fill(SILENCE);
    *position += length;
}

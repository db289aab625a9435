//! A sound that the settings name.

use std::path::Path;

use call_protocol::audio::payload::Payload;
use call_protocol::audio::wav;

/// The sound in a file, or why there is none.
pub(crate) fn sound(file: &Path) -> Result<Payload, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot be read ({error})"))?;
    let audio = wav::read(&bytes).map_err(|error| format!("cannot be played ({error})"))?;
    Ok(Payload::from_audio(&audio))
}

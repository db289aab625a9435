//! What a session is told that takes over from another while the conversation goes on.

use super::replay::lines;
use crate::conversation::Turn;
use crate::tool::memory::ToolRecord;

/// The text of a system item that tells the next session what happened so far.
#[must_use]
pub fn briefing<'a>(turns: impl Iterator<Item = &'a Turn>) -> String {
    let told = lines(turns, std::iter::empty());
    format!(
        "You take over this call in the middle; the caller does not know and need not know. Do not greet again and do \
         not mention it; go on as if you had spoken all the time. The conversation so far, as the caller heard it:\n{told}"
    )
}

/// What happened between [`briefing`] and the moment the session was taken, and all that tools came to: a result may
/// be younger than its call.
#[must_use]
pub fn rest<'a>(
    turns: impl Iterator<Item = &'a Turn>,
    records: impl Iterator<Item = &'a ToolRecord>,
) -> Option<String> {
    let told = lines(turns, records);
    (!told.is_empty()).then(|| format!("What you did with tools, and all since then:\n{told}"))
}

//! What a session is told that takes over from another while the conversation goes on.

use super::replay::lines;
use crate::conversation::Turn;

/// The text of a system item that tells the next session what happened so far.
#[must_use]
pub fn briefing<'a>(turns: impl DoubleEndedIterator<Item = &'a Turn>) -> String {
    let told = lines(turns);
    format!(
        "You take over this call in the middle; the caller does not know and need not know. Do not greet again and do \
         not mention it; go on as if you had spoken all the time. The conversation so far, as the caller heard it:\n{told}"
    )
}

/// What happened between [`briefing`] and the moment the session was taken, if anything did.
#[must_use]
pub fn rest<'a>(turns: impl DoubleEndedIterator<Item = &'a Turn>) -> Option<String> {
    let told = lines(turns);
    (!told.is_empty()).then(|| format!("Since then:\n{told}"))
}

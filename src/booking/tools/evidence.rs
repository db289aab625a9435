//! What a caller says of themselves, a code or a name, may be wrong a few times.

use super::arguments::{Refusal, refuse};
use super::context::ToolContext;
use crate::identity::Asker;
use crate::tally::{Kind, Tally};

impl ToolContext<'_> {
    /// What this call and this number have tried; the desk is not counted.
    pub(super) fn tally(&self) -> Option<Tally<'_>> {
        let Asker::Caller { call, .. } = self.asker else {
            return None;
        };
        Some(Tally {
            connection: self.connection,
            number: self.caller.as_deref(),
            call,
            now: self.now.as_second(),
        })
    }

    /// Whether a code or a name may be tried at all.
    pub(super) fn may_guess(&self) -> Result<(), Refusal> {
        match self.tally() {
            Some(tally) if !tally.has_left(Kind::Guess)? => Err(refuse(
                "Codes and names were wrong too often; nothing can be changed by phone now, the front desk can help.",
            )),
            _ => Ok(()),
        }
    }

    /// A code or a name was wrong.
    pub(super) fn guessed_wrong(&self) -> Result<(), Refusal> {
        if let Some(tally) = self.tally() {
            tally.add(Kind::Guess)?;
            if let Some(count) = self.guesses {
                count();
            }
        }
        Ok(())
    }
}

//! A journal in memory that outlives its process, and can be made to die at any of its steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use call_protocol::phone::CallSid;
use switchboard_actors::store::{
    Answer, Begun, CallStore, Claim, Forgotten, Ring, Rung, Saved, Spent, StoreError, ToolEffect,
    UnixSeconds,
};

/// Where the process that uses the journal dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dies {
    Never,
    BeforeBegin,
    AfterBegin,
    BeforeFinish,
    AfterFinish,
}

/// Keys begun, each with its outcome if there is one.
type Lines = Arc<Mutex<BTreeMap<String, Option<String>>>>;

/// The journal as one process sees it.
pub(crate) struct Journal {
    lines: Lines,
    dies: Dies,
    /// Whether it answers at all.
    pub(crate) away: bool,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            lines: Lines::default(),
            dies: Dies::Never,
            away: false,
        }
    }

    /// The same journal in a process that dies there.
    pub(crate) fn in_process(&self, dies: Dies) -> Self {
        Self {
            lines: self.lines.clone(),
            dies,
            away: false,
        }
    }
}

fn not_used<T: Send + 'static>() -> Answer<T> {
    Box::pin(async { Err(StoreError::Away) })
}

impl CallStore for Journal {
    fn claim(&self, _: CallSid, _: UnixSeconds) -> Answer<Claim> {
        not_used()
    }

    fn look(&self, _: CallSid, _: UnixSeconds) -> Answer<Option<Bytes>> {
        not_used()
    }

    fn save(&self, _: CallSid, _: u64, _: Bytes, _: UnixSeconds) -> Answer<Saved> {
        not_used()
    }

    fn forget(&self, _: CallSid, _: u64) -> Answer<Forgotten> {
        not_used()
    }

    fn begin(&self, effect: ToolEffect, _: UnixSeconds) -> Answer<Begun> {
        let (lines, dies, away) = (self.lines.clone(), self.dies, self.away);
        Box::pin(async move {
            if away {
                return Err(StoreError::Away);
            }
            if dies == Dies::BeforeBegin {
                std::future::pending::<()>().await;
            }
            let begun = {
                let mut lines = lines.lock().unwrap();
                match lines.get(&effect.key) {
                    Some(Some(outcome)) => Begun::Done(outcome.clone()),
                    Some(None) => Begun::Unknown,
                    None => {
                        lines.insert(effect.key, None);
                        Begun::First
                    }
                }
            };
            if dies == Dies::AfterBegin {
                std::future::pending::<()>().await;
            }
            Ok(begun)
        })
    }

    fn finish(&self, key: String, output: String, _: UnixSeconds) -> Answer<()> {
        let (lines, dies) = (self.lines.clone(), self.dies);
        Box::pin(async move {
            if dies == Dies::BeforeFinish {
                std::future::pending::<()>().await;
            }
            lines.lock().unwrap().insert(key, Some(output));
            if dies == Dies::AfterFinish {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }

    fn redeem(&self, _: String, _: i64, _: UnixSeconds) -> Answer<bool> {
        not_used()
    }

    fn spend(&self, _: Spent, _: i64, _: u64) -> Answer<u64> {
        not_used()
    }

    fn ring(&self, _: Ring, _: UnixSeconds) -> Answer<Rung> {
        not_used()
    }

    fn unring(&self, _: CallSid) -> Answer<()> {
        not_used()
    }

    fn purge(&self, _: UnixSeconds) -> Answer<u64> {
        not_used()
    }
}

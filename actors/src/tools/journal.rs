//! Has this effect happened already? The runs under way in this process know, and then the journal.
//!
//! The journal is written before the effect and after it. A run that stopped between the two may or may not have had its
//! effect. If the tool knows the key, the run is repeated; if not, the model is told that the outcome is unknown.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use call_protocol::tool::{ToolResult, failure, outcome_unknown};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::store::{Answer, Begun, CallStore, StoreError, ToolEffect, UnixSeconds};

/// A journal that does not answer by then is treated as missing.
const JOURNAL: Duration = Duration::from_secs(2);

/// Outcomes remembered where there is no journal.
const REMEMBERED: usize = 4_096;

type UnderWay = Arc<Mutex<Runs>>;

#[derive(Default)]
struct Runs {
    /// By key, each with where its outcome will be seen.
    seen: HashMap<String, watch::Receiver<Option<Kept>>>,
    /// Keys of what is over and remembered, oldest first.
    over: VecDeque<String>,
}

pub(super) struct EffectJournal {
    store: Option<Arc<dyn CallStore>>,
    under_way: UnderWay,
}

/// An outcome as the journal keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    result: ToolResult,
    output: String,
}

impl Kept {
    fn unknown() -> Self {
        Self {
            result: ToolResult::Unknown,
            output: outcome_unknown(),
        }
    }
}

pub(super) enum Begin {
    /// Nobody has done it: go ahead.
    Proceed(EffectGuard),
    /// This came of it, or nobody knows.
    Known(ToolResult, String),
}

/// The right to do an effect, and the duty to say what came of it. Dropped without a word, nobody knows.
pub(super) struct EffectGuard {
    key: String,
    /// It was begun before, and nobody wrote down what came of it.
    pub(super) in_doubt: bool,
    outcome: watch::Sender<Option<Kept>>,
    under_way: UnderWay,
    store: Option<Arc<dyn CallStore>>,
}

impl EffectJournal {
    pub(super) fn new(store: Option<Arc<dyn CallStore>>) -> Self {
        Self {
            store,
            under_way: UnderWay::default(),
        }
    }

    /// Announces an effect; `again` if it was begun before, as far as its call knows.
    pub(super) async fn begin(
        &self,
        effect: ToolEffect,
        knows_its_key: bool,
        again: bool,
    ) -> Begin {
        let (turn, other) = self.take_turn(&effect.key);
        let mut turn = match (turn, other) {
            (Some(turn), _) => turn,
            (None, Some(mut other)) => {
                // The same wish is under way: its outcome is this one's.
                let seen = other.wait_for(Option::is_some).await;
                let kept = seen.ok().and_then(|kept| kept.clone());
                return repeated(kept.unwrap_or_else(Kept::unknown));
            }
            (None, None) => return repeated(Kept::unknown()),
        };
        let Some(store) = &self.store else {
            return Begin::Proceed(turn);
        };
        let kept = match in_time(store.begin(effect, now())).await {
            Ok(Begun::First) => return Begin::Proceed(turn),
            Ok(Begun::Unknown) if knows_its_key => {
                turn.in_doubt = true;
                return Begin::Proceed(turn);
            }
            Ok(Begun::Done(text)) => {
                serde_json::from_str(&text).unwrap_or_else(|_| Kept::unknown())
            }
            Ok(Begun::Unknown) => Kept::unknown(),
            Err(error) => {
                // Without a line in the journal nothing may be done that cannot be undone.
                log::error!(target: "switchboard::tool", error:% = error; "journal does not answer, effect not begun");
                if again {
                    Kept::unknown()
                } else {
                    Kept {
                        result: ToolResult::Failed,
                        output: failure("this cannot be done at the moment; nothing was changed"),
                    }
                }
            }
        };
        // Others may wait for the same.
        let _ = turn.outcome.send(Some(kept.clone()));
        repeated(kept)
    }

    /// The turn, unless another run has it: then where its outcome will be seen.
    fn take_turn(&self, key: &str) -> (Option<EffectGuard>, Option<watch::Receiver<Option<Kept>>>) {
        let mut under_way = locked(&self.under_way);
        if let Some(other) = under_way.seen.get(key) {
            return (None, Some(other.clone()));
        }
        let (outcome, seen) = watch::channel(None);
        under_way.seen.insert(key.to_owned(), seen);
        let turn = EffectGuard {
            key: key.to_owned(),
            in_doubt: false,
            outcome,
            under_way: self.under_way.clone(),
            store: self.store.clone(),
        };
        (Some(turn), None)
    }
}

impl EffectGuard {
    /// Says what came of the effect. What nobody knows is not written down: the line in the journal stays open.
    pub(super) async fn finish(self, result: ToolResult, output: &str) {
        let kept = Kept {
            result,
            output: output.to_owned(),
        };
        if matches!(
            result,
            ToolResult::Ok | ToolResult::Failed | ToolResult::Refused
        ) {
            self.write(&kept).await;
        }
        // Nobody may wait for it.
        let _ = self.outcome.send(Some(kept));
    }

    async fn write(&self, kept: &Kept) {
        let (Some(store), Ok(text)) = (&self.store, serde_json::to_string(kept)) else {
            return;
        };
        for last in [false, true] {
            let written = in_time(store.finish(self.key.clone(), text.clone(), now())).await;
            match written {
                Ok(()) => return,
                Err(error) if last => {
                    log::error!(target: "switchboard::tool", error:% = error; "outcome not written down");
                }
                Err(_) => {}
            }
        }
    }
}

impl Drop for EffectGuard {
    fn drop(&mut self) {
        let mut runs = locked(&self.under_way);
        // The journal remembers what came of it; without one this process does.
        if self.store.is_some() || self.outcome.borrow().is_none() {
            runs.seen.remove(&self.key);
            return;
        }
        runs.over.push_back(self.key.clone());
        if runs.over.len() > REMEMBERED
            && let Some(oldest) = runs.over.pop_front()
        {
            runs.seen.remove(&oldest);
        }
    }
}

/// A run that is known to have changed nothing may be tried again under another key; its own outcome is told as it was.
fn repeated(kept: Kept) -> Begin {
    let result = match kept.result {
        ToolResult::Ok => ToolResult::Repeated,
        other => other,
    };
    Begin::Known(result, kept.output)
}

/// A panic elsewhere leaves the map whole: each of its operations completes.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn in_time<T>(answer: Answer<T>) -> Result<T, StoreError> {
    actix_rt::time::timeout(JOURNAL, answer)
        .await
        .unwrap_or(Err(StoreError::Away))
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

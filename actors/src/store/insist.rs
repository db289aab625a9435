//! Asking a store that fails until it answers.

use std::time::Duration;

use super::{Answer, CHECKPOINT_LIFE, StoreError};

/// Before it is asked again: another process may hold the file for a moment.
const AGAIN: Duration = Duration::from_millis(300);

/// The longest wait before it is asked again.
const MOST: Duration = Duration::from_secs(5);

/// The longest it is asked for: after that whatever is written down of a call concerns nobody any more.
#[allow(clippy::cast_sign_loss)] // a quarter of an hour
const LIFE: Duration = Duration::from_secs(CHECKPOINT_LIFE as u64);

/// Waits for an answer, and asks `again` as often as the store fails. `None` where it never will answer.
pub async fn insist<T>(mut answer: Answer<T>, mut again: impl FnMut() -> Answer<T>) -> Option<T> {
    let (mut wait, mut waited) = (AGAIN, Duration::ZERO);
    loop {
        match answer.await {
            Ok(given) => return Some(given),
            Err(StoreError::TooLarge(_)) => return None,
            // The store complains of itself.
            Err(StoreError::Engine(_) | StoreError::Away) if waited < LIFE => {}
            Err(StoreError::Engine(_) | StoreError::Away) => return None,
        }
        actix_rt::time::sleep(wait).await;
        waited += wait;
        wait = (wait * 2).min(MOST);
        answer = again();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(given: Result<u8, StoreError>) -> Answer<u8> {
        Box::pin(std::future::ready(given))
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_is_asked_again_until_it_answers() {
        let mut failures = 20;
        let given = insist(answer(Err(StoreError::Away)), || {
            failures -= 1;
            answer(if failures > 0 {
                Err(StoreError::Engine("locked".to_owned()))
            } else {
                Ok(7)
            })
        });
        assert_eq!(given.await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn what_concerns_nobody_any_more_is_not_asked_for() {
        let began = tokio::time::Instant::now();
        let never = insist(answer(Err(StoreError::Away)), || {
            answer(Err(StoreError::Away))
        });
        assert_eq!(never.await, None);
        assert!(began.elapsed() >= LIFE && began.elapsed() < LIFE * 2);
        let large = insist(answer(Err(StoreError::TooLarge("it"))), || unreachable!());
        assert_eq!(large.await, None);
    }
}

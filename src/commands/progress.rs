//! Progress of commands that take their time: a line on a terminal that is written over and goes in the end, and
//! nothing at all where standard error is not one. What a command has to say goes to standard output.

use std::io::{IsTerminal as _, Write};
use std::time::{Duration, Instant};

/// Between two looks at how far it is.
const EVERY: Duration = Duration::from_secs(1);

/// Back to the beginning of the line, and the rest of it away.
const OVER: &str = "\r\x1b[K";

/// A line that tells how far something is.
pub(super) struct Progress<W> {
    out: Option<W>,
    every: Duration,
}

impl Progress<std::io::Stderr> {
    /// On standard error, if that is a terminal.
    pub(super) fn on_terminal() -> Self {
        let err = std::io::stderr();
        Self {
            out: err.is_terminal().then_some(err),
            every: EVERY,
        }
    }
}

impl<W: Write> Progress<W> {
    /// Waits for `task` and shows meanwhile what `tell` says of it, by the time it has taken so far.
    pub(super) async fn beside<T>(
        mut self,
        task: impl Future<Output = T>,
        mut tell: impl FnMut(Duration) -> String,
    ) -> T {
        tokio::pin!(task);
        let Some(out) = &mut self.out else {
            return task.await;
        };
        let began = Instant::now();
        let mut ticks = tokio::time::interval(self.every);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut task => break done,
                _ = ticks.tick() => {
                    // A terminal that is gone is nobody's trouble.
                    let _ = write!(out, "{OVER}{}", tell(began.elapsed()));
                    let _ = out.flush();
                }
            }
        };
        let _ = write!(out, "{OVER}");
        let _ = out.flush();
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn a_terminal_sees_how_far_it_is_and_keeps_nothing_of_it() {
        let (mut seen, told) = (Vec::new(), Notify::new());
        let progress = Progress {
            out: Some(&mut seen),
            every: Duration::from_millis(1),
        };
        let mut looks = 0;
        let task = async {
            told.notified().await;
            7
        };
        let done = progress.beside(task, |_| {
            looks += 1;
            if looks == 3 {
                told.notify_one();
            }
            format!("{looks} of 3")
        });
        assert_eq!(done.await, 7);
        let seen = String::from_utf8(seen).unwrap();
        assert_eq!(seen, "\r\x1b[K1 of 3\r\x1b[K2 of 3\r\x1b[K3 of 3\r\x1b[K");
    }

    #[tokio::test]
    async fn nothing_is_shown_and_nothing_asked_where_there_is_no_terminal() {
        let progress: Progress<Vec<u8>> = Progress {
            out: None,
            every: Duration::from_millis(1),
        };
        let task = tokio::time::sleep(Duration::from_millis(20));
        progress
            .beside(task, |_| -> String { unreachable!("nobody looks") })
            .await;
    }
}

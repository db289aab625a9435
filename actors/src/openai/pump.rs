//! The socket's pump: writes what waits, reads what came, in the actor's own poll.
//!
//! Most polls are for a message to be written: the socket is read only when it was the socket that woke the actor, and
//! written only when there is something to write.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker, ready};

use actix::{ActorContext, ActorFuture, Context};

use super::session::OpenAiSession;
use crate::limits::MODEL_READS;

/// Moves frames between the actor and its socket; ends with the socket.
#[derive(Default)]
pub(super) struct Pump {
    reader: Option<Reader>,
}

/// Who is woken when the socket can be read.
struct Reader {
    readable: Arc<Readable>,
    waker: Waker,
}

/// Wakes the actor, and remembers what for.
struct Readable {
    came: AtomicBool,
    actor: Waker,
}

impl Wake for Readable {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.actor.wake_by_ref();
    }
}

impl Reader {
    /// A reader that has not read yet: what can be read already wakes nobody.
    fn of(actor: &Waker) -> Self {
        let readable = Arc::new(Readable {
            came: AtomicBool::new(true),
            actor: actor.clone(),
        });
        let waker = Waker::from(readable.clone());
        Self { readable, waker }
    }
}

impl ActorFuture<OpenAiSession> for Pump {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        session: &mut OpenAiSession,
        ctx: &mut Context<OpenAiSession>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let same = |reader: &Reader| reader.readable.actor.will_wake(task.waker());
        let reader = match self.reader.take().filter(same) {
            Some(reader) => self.reader.insert(reader),
            None => self.reader.insert(Reader::of(task.waker())),
        };
        let look_due = std::mem::take(&mut session.look_due);
        if reader.readable.came.swap(false, Ordering::Acquire) || look_due {
            match read(session, ctx, &mut TaskContext::from_waker(&reader.waker)) {
                // The share of this turn is used up; let the call have its turn, then go on.
                Poll::Ready(()) => reader.waker.wake_by_ref(),
                Poll::Pending => {}
            }
        }
        if look_due && session.io.is_open() {
            session.look(ctx);
        }
        if session.io.has_to_write() {
            let shared = &session.shared;
            if let Err(error) = session.io.write(task, |since| shared.appended(since)) {
                session.lose(&error.to_string(), ctx);
            }
        }
        if !session.io.is_open() {
            return Poll::Ready(());
        }
        if session.hanging_up && session.io.is_drained() {
            // Said goodbye; the peer's answer is not waited for.
            ctx.stop();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// Reads at most [`MODEL_READS`] frames; ready when there may be more.
fn read(
    session: &mut OpenAiSession,
    ctx: &mut Context<OpenAiSession>,
    task: &mut TaskContext<'_>,
) -> Poll<()> {
    for _ in 0..MODEL_READS {
        if session.hanging_up || !session.io.is_open() {
            return Poll::Pending;
        }
        match ready!(session.io.poll_frame(task)) {
            Some(item) => session.on_frame(item, ctx),
            None => session.lose("end of stream", ctx),
        }
    }
    Poll::Ready(())
}

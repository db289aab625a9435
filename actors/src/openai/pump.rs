//! The socket's pump: writes what waits, reads what came, in the actor's own poll.
//!
//! One future owns reading and writing, so that a message costs one write, several messages cost one write together,
//! and nothing queues out of sight. Most polls are for a message to be written: the socket is read only when it was the
//! socket that woke the actor, and written only when there is something to write.

use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use actix::{ActorContext, ActorFuture, Context};
use actix_http::ws::ProtocolError;
use call_protocol::wire::SocketFault;
use futures_util::{Sink as _, Stream as _};

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
                Poll::Ready(Ok(())) => reader.waker.wake_by_ref(),
                Poll::Ready(Err(())) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        if look_due {
            session.look(ctx);
        }
        if session.has_to_write() && write(session, ctx, task).is_err() {
            return Poll::Ready(());
        }
        if session.hanging_up && session.outgoing.is_empty() {
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
) -> Poll<Result<(), ()>> {
    for _ in 0..MODEL_READS {
        if session.hanging_up {
            return Poll::Pending;
        }
        let Some(socket) = &mut session.socket else {
            return Poll::Ready(Err(()));
        };
        match Pin::new(socket.as_mut()).poll_next(task) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => session.on_frame(frame),
            Poll::Ready(Some(Err(ProtocolError::Overflow))) => {
                session.reject(SocketFault::TooLarge)
            }
            Poll::Ready(Some(Err(ProtocolError::Io(error))))
                if error.kind() == ErrorKind::FileTooLarge =>
            {
                session.reject(SocketFault::TooLarge);
            }
            Poll::Ready(Some(Err(ProtocolError::Io(error)))) => {
                session.lose(&error.to_string(), ctx);
                return Poll::Ready(Err(()));
            }
            // The codec repeats some errors for ever: the first one is the last.
            Poll::Ready(Some(Err(_))) => session.reject(SocketFault::Protocol),
            Poll::Ready(None) => {
                session.lose("end of stream", ctx);
                return Poll::Ready(Err(()));
            }
        }
    }
    Poll::Ready(Ok(()))
}

/// Writes all that waits, as far as the socket takes it.
fn write(
    session: &mut OpenAiSession,
    ctx: &mut Context<OpenAiSession>,
    task: &mut TaskContext<'_>,
) -> Result<(), ()> {
    let Some(mut socket) = session.socket.take() else {
        return Err(());
    };
    let result = write_all(&mut socket, session, task);
    session.socket = Some(socket);
    if let Err(error) = result {
        session.lose(&error.to_string(), ctx);
        return Err(());
    }
    Ok(())
}

fn write_all(
    socket: &mut Box<super::connect::Socket>,
    session: &mut OpenAiSession,
    task: &mut TaskContext<'_>,
) -> Result<(), ProtocolError> {
    let mut socket = Pin::new(socket.as_mut());
    while !session.outgoing.is_empty() {
        match socket.as_mut().poll_ready(task) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(()),
        }
        if let Some((message, since)) = session.outgoing.pop_front() {
            session.left(&message, since);
            socket.as_mut().start_send(message)?;
        }
    }
    match socket.as_mut().poll_flush(task) {
        Poll::Ready(Err(error)) => Err(error),
        Poll::Ready(Ok(())) => {
            session.flushed = true;
            Ok(())
        }
        Poll::Pending => Ok(()),
    }
}

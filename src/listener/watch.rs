//! How far a connection is with its requests, and how long it may stay there.
//!
//! actix's dispatcher limits the head of the first request alone (actix-http 3.20, `h1/dispatcher.rs`: `head_timer` is set
//! once, with `STARTED`); the first byte of the next one ends its keep-alive timer and sets no other, and what is left of
//! a chunked body after its answer it reads for ever. So the limits are kept here: the [middleware](super::pace) says
//! what becomes of requests, the [stream](super::stream) what arrives, and the stream ends what takes too long.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use actix::clock::Instant;

use super::crowd::{Crowd, Leave};

/// From a request's first byte to the end of its head; for the first request from the connection on.
pub(crate) const HEAD: Duration = Duration::from_secs(5);

/// From the end of the head to the end of the body; Twilio's come together.
pub(crate) const BODY: Duration = Duration::from_secs(5);

/// From an answer to the next request's first byte.
pub(crate) const IDLE: Duration = Duration::from_secs(15);

/// How long a connection is still read after its last answer, or a socket after it was closed. Closing at once would
/// answer what is on its way here with a reset, which can overtake the answer, or the close frame behind the audio; but
/// what follows `<Connect>` may wait for the end of the connection, and the caller hears nothing meanwhile.
pub(crate) const LINGER: Duration = Duration::from_millis(150);

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It waits for the head of a request until then; `begun`: some of it has come.
    Waiting { until: Instant, begun: bool },
    /// The body of a request is read, until then.
    Reading { until: Instant },
    /// A request is answered, however long that takes.
    Answering,
    /// The last answer was given: it is read until then, so that the peer reads it.
    Closing { until: Instant },
    /// It is a WebSocket now, and none of this holds.
    Free,
}

/// What takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// Nothing has come, or nothing more is awaited.
    Idle,
    /// Half a head.
    Head,
    /// Half a body.
    Body,
}

/// One connection, as its stream and its requests see it. It stays on its thread.
pub(crate) struct Watch {
    crowd: Crowd,
    peer: Option<IpAddr>,
    leave: Arc<Leave>,
    turn: Cell<Option<u64>>,
    phase: Cell<Phase>,
    /// The last bytes that came.
    tail: Cell<[u8; 4]>,
    /// A body did not come in time.
    late_body: Cell<bool>,
    is_spare: bool,
}

/// What a request without a body ends with.
const END_OF_HEAD: [u8; 4] = *b"\r\n\r\n";

impl Watch {
    /// A connection that was just accepted, and whether there is room for it: one for which another one had to leave
    /// takes that one's place.
    pub(crate) fn new(
        crowd: Crowd,
        peer: Option<IpAddr>,
        has_room: bool,
        now: Instant,
    ) -> Rc<Self> {
        let leave = Arc::new(Leave::default());
        let (turn, another_left) = crowd.wait(peer, &leave);
        let is_spare = !has_room && !another_left && !crowd.make_room(turn);
        let until = now + HEAD;
        Rc::new(Self {
            crowd,
            peer,
            leave,
            turn: Cell::new(Some(turn)),
            phase: Cell::new(Phase::Waiting { until, begun: true }),
            tail: Cell::new([0; 4]),
            late_body: Cell::new(false),
            is_spare,
        })
    }

    /// It has one of the descriptors that are kept for health checks.
    pub(crate) const fn is_spare(&self) -> bool {
        self.is_spare
    }

    /// Nothing is limited any more.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.phase.get(), Phase::Free)
    }

    /// Bytes have come.
    pub(crate) fn arrived(&self, bytes: &[u8], now: Instant) {
        let mut tail = self.tail.get();
        for byte in &bytes[bytes.len().saturating_sub(tail.len())..] {
            tail.rotate_left(1);
            tail[3] = *byte;
        }
        self.tail.set(tail);
        if let Phase::Waiting { begun: false, .. } = self.phase.get() {
            let until = now + HEAD;
            self.phase.set(Phase::Waiting { until, begun: true });
        }
    }

    /// The head of a request is complete; `reads_body`: its body is still to be read.
    pub(crate) fn asked(&self, reads_body: bool, now: Instant) {
        if reads_body {
            let until = now + BODY;
            self.phase.set(Phase::Reading { until });
        } else {
            self.phase.set(Phase::Answering);
            self.served();
        }
    }

    /// The body of the request is complete, or will not be.
    pub(crate) fn read_to_the_end(&self) {
        if let Phase::Reading { .. } = self.phase.get() {
            self.phase.set(Phase::Answering);
            self.served();
        }
    }

    /// The body of the request did not come in time.
    pub(crate) fn is_body_late(&self) -> bool {
        self.late_body.get()
    }

    /// The answer is given. `read_all`: nothing of its request is left to be read; `had_body`: there was one.
    pub(crate) fn answered(&self, read_all: bool, had_body: bool, now: Instant) {
        match self.phase.get() {
            Phase::Reading { .. } | Phase::Answering if read_all => {
                // What came behind a request without a body is the beginning of the next one.
                let begun = !had_body && self.tail.get() != END_OF_HEAD;
                let until = now + if begun { HEAD } else { IDLE };
                self.phase.set(Phase::Waiting { until, begun });
                if self.turn.get().is_none() {
                    let (turn, _) = self.crowd.wait(self.peer, &self.leave);
                    self.turn.set(Some(turn));
                }
            }
            Phase::Reading { .. } | Phase::Answering => {
                let until = now + LINGER;
                self.phase.set(Phase::Closing { until });
            }
            Phase::Waiting { .. } | Phase::Closing { .. } | Phase::Free => {}
        }
    }

    /// The connection is a WebSocket from now on.
    pub(crate) fn upgraded(&self) {
        self.phase.set(Phase::Free);
        self.served();
    }

    /// When the connection is to be ended, if nothing happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase.get() {
            Phase::Waiting { until, .. } | Phase::Reading { until } | Phase::Closing { until } => {
                Some(until)
            }
            Phase::Answering | Phase::Free => None,
        }
    }

    /// Whether another connection needs its place; the task is woken when one does.
    pub(crate) fn must_leave(&self, cx: &Context<'_>) -> bool {
        self.turn.get().is_some() && self.leave.is_told(cx)
    }

    /// The connection is ended for another one, or because its answers are not read.
    pub(crate) fn end_for(&self, reason: &'static str) -> Late {
        self.crowd.ends(reason);
        self.late()
    }

    /// The connection is ended because its time is over: gives what took too long.
    pub(crate) fn end(&self) -> Late {
        let late = self.late();
        // The reader of a body says that it came too late, and a connection that asks nothing is not late.
        if late == Late::Head {
            self.crowd.ends("slow_head");
        }
        late
    }

    fn late(&self) -> Late {
        match self.phase.get() {
            Phase::Waiting { begun: true, .. } => Late::Head,
            Phase::Reading { .. } => {
                self.late_body.set(true);
                Late::Body
            }
            Phase::Waiting { .. } | Phase::Answering | Phase::Closing { .. } | Phase::Free => {
                Late::Idle
            }
        }
    }

    fn served(&self) {
        if let Some(turn) = self.turn.take() {
            self.crowd.served(turn);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.served();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(now: Instant) -> Rc<Watch> {
        Watch::new(Crowd::new(100, Arc::new(|_| {})), None, true, now)
    }

    /// Seconds from the beginning to the deadline.
    fn until(watch: &Watch, began: Instant) -> Option<u64> {
        Some((watch.deadline()? - began).as_secs())
    }

    #[test]
    fn every_request_of_a_connection_has_its_time() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let watch = watch(began);
        assert_eq!(until(&watch, began), Some(5), "the first head");
        for round in 0..3 {
            let base = 100 * round;
            watch.arrived(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", at(base));
            watch.asked(true, at(base + 1));
            assert_eq!(until(&watch, began), Some(base + 6), "its body");
            watch.arrived(b"CallSid=CA1", at(base + 2));
            assert_eq!(until(&watch, began), Some(base + 6), "a piece of it");
            watch.read_to_the_end();
            assert_eq!(until(&watch, began), None, "the answer");
            watch.answered(true, true, at(base + 10));
            assert_eq!(until(&watch, began), Some(base + 25), "idle");
            watch.arrived(b"P", at(base + 20));
            assert_eq!(until(&watch, began), Some(base + 25), "the next head");
            watch.arrived(b"O", at(base + 24));
            assert_eq!(until(&watch, began), Some(base + 25), "whatever drips in");
            assert_eq!(watch.end(), Late::Head);
        }
    }

    #[test]
    fn half_a_request_behind_another_one_has_begun() {
        let began = Instant::now();
        let watch = watch(began);
        watch.arrived(b"GET / HTTP/1.1\r\n\r\nGET ", began);
        watch.asked(false, began);
        watch.answered(true, false, began);
        assert_eq!(until(&watch, began), Some(5));
        watch.arrived(b"/ HTTP/1.1\r\n\r", began);
        watch.arrived(b"\n", began);
        watch.asked(false, began);
        watch.answered(true, false, began);
        assert_eq!(until(&watch, began), Some(15));
    }

    #[test]
    fn an_unread_body_is_not_waited_for() {
        let began = Instant::now();
        let watch = watch(began);
        watch.asked(true, began);
        watch.answered(false, true, began);
        assert_eq!(watch.deadline(), Some(began + LINGER));
        assert_eq!(watch.end(), Late::Idle);
        assert!(!watch.is_body_late());
    }

    #[test]
    fn a_websocket_is_free() {
        let began = Instant::now();
        let watch = watch(began);
        watch.asked(false, began);
        watch.upgraded();
        assert!(watch.is_free());
        watch.answered(true, false, began);
        assert!(watch.is_free() && watch.deadline().is_none());
    }

    #[test]
    fn only_who_waits_for_a_request_makes_room() {
        let began = Instant::now();
        let crowd = Crowd::new(1, Arc::new(|_| {}));
        let cx = Context::from_waker(std::task::Waker::noop());
        let new = |has_room| Watch::new(crowd.clone(), None, has_room, began);
        let answering = new(true);
        answering.asked(false, began);
        let config_snapshot = new(true);
        config_snapshot.asked(true, began);
        let third = new(true);
        assert!(!answering.must_leave(&cx) && !third.must_leave(&cx));
        assert!(config_snapshot.must_leave(&cx), "its body has not come");
        let fourth = new(false);
        assert!(third.must_leave(&cx) && !fourth.is_spare());
        fourth.asked(false, began);
        assert!(new(false).is_spare(), "nobody can leave");
        drop(answering);
    }
}

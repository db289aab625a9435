//! `OpenAiSession`: one realtime socket, from dial to close. Transient: its end is an event for the call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::SendError;
use actix::{
    Actor, ActorContext, ActorFutureExt as _, Addr, AsyncContext, Context, Handler, WeakAddr,
    WrapFuture as _,
};
use actix_http::ws::{CloseReason, Frame, Message, ProtocolError};
use bytes::Bytes;
use call_protocol::ids::{Interner, clip};
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::{ModelClose, ModelEvent, Refusal};
use call_protocol::model::openai;
use call_protocol::model::openai::MAX_MESSAGE;
use call_protocol::model::session::SessionId;

use super::connect::{Dialler, Socket};
use super::pump::Pump;
use super::socket_io::SocketIo;
use crate::call::{CallActor, Shared, Wire};
use crate::failpoints;
use crate::limits::{
    EARLY_EVENTS, MODEL_ANSWERS, MODEL_BACKLOG, MODEL_BACKLOG_FATAL, MODEL_MAILBOX, MODEL_PING,
    MODEL_SILENCE, UNCLAIMED,
};
use crate::messages::{ModelSaid, ToModel};
use crate::timer::{ActorTimer, TimerFired};
use crate::websocket::{FrameAction, InboundFrames, encode_text};

/// A call's hold on its model session: dropping it hangs up, on every path.
pub struct ModelLine(Addr<OpenAiSession>);

impl ModelLine {
    /// Starts a session on this thread and dials.
    pub(crate) fn dial(
        id: SessionId,
        url: &Arc<str>,
        dialler: &Dialler,
        shared: &Shared,
        call: WeakAddr<CallActor>,
    ) -> Self {
        Self::start(Owner::Call { id, call }, url, dialler, shared)
    }

    /// Dials for a call that was announced and has no actor yet; nobody may come, then it hangs up by itself.
    #[must_use]
    pub fn early(url: &Arc<str>, dialler: &Dialler, shared: &Shared) -> Self {
        let waiting = Vec::new();
        Self::start(
            Owner::Nobody {
                since: Instant::now(),
                waiting,
            },
            url,
            dialler,
            shared,
        )
    }

    fn start(owner: Owner, url: &Arc<str>, dialler: &Dialler, shared: &Shared) -> Self {
        let session = OpenAiSession {
            owner,
            url: url.clone(),
            dialler: dialler.clone(),
            shared: shared.clone(),
            io: SocketIo::default(),
            ids: Interner::default(),
            frames: InboundFrames::new(MAX_MESSAGE),
            heard_at: Instant::now(),
            excused_until: None,
            looks: None,
            next_look: None,
            look_due: false,
            hanging_up: false,
        };
        Self(session.start())
    }

    /// Offers audio.
    pub(crate) fn offer(&self, message: ToModel) -> Offered {
        match self.0.try_send(message) {
            Ok(()) => Offered::Taken,
            Err(SendError::Full(_)) => Offered::Full,
            // Its last word is on the way to the call.
            Err(SendError::Closed(_)) => Offered::Gone,
        }
    }

    /// Gives the session to a call; false if it is gone already.
    pub(crate) fn adopt(&self, id: SessionId, shared: &Shared, call: WeakAddr<CallActor>) -> bool {
        let shared = shared.clone();
        self.0.try_send(Adopt { id, shared, call }).is_ok()
    }

    /// Says something that must arrive.
    pub(crate) fn tell(&self, message: ToModel) {
        self.0.do_send(message);
    }
}

impl Drop for ModelLine {
    fn drop(&mut self) {
        self.0.do_send(ToModel::HangUp);
    }
}

/// What became of audio that was offered to a session.
pub(crate) enum Offered {
    Taken,
    /// The session takes nothing.
    Full,
    /// The session is gone.
    Gone,
}

/// A call takes a session that was dialled before it had an actor.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Adopt {
    id: SessionId,
    shared: Shared,
    call: WeakAddr<CallActor>,
}

/// Whose session it is.
enum Owner {
    /// Dialled early; what it says waits.
    Nobody {
        since: Instant,
        waiting: Vec<ModelEvent>,
    },
    /// A call's, by the id the call gave it. Weak: the call owns the session, not the other way round.
    Call {
        id: SessionId,
        call: WeakAddr<CallActor>,
    },
}

/// The actor of one realtime socket.
pub(super) struct OpenAiSession {
    owner: Owner,
    url: Arc<str>,
    dialler: Dialler,
    pub(super) shared: Shared,
    pub(super) io: SocketIo,
    ids: Interner,
    frames: InboundFrames,
    heard_at: Instant,
    /// Until then the server is not blamed for its silence.
    excused_until: Option<Instant>,
    looks: Option<ActorTimer>,
    /// When that time is over.
    next_look: Option<ActorTimer>,
    pub(super) look_due: bool,
    pub(super) hanging_up: bool,
}

impl OpenAiSession {
    /// Tells the call; false if it is gone.
    fn say(&mut self, event: ModelEvent) -> bool {
        self.say_at(event, Instant::now())
    }

    /// Tells the call what was read from the socket at this time; false if it is gone.
    fn say_at(&mut self, event: ModelEvent, at: Instant) -> bool {
        match &mut self.owner {
            Owner::Nobody { waiting, .. } => {
                // Before it is configured a session says three things at most.
                let room = waiting.len() < EARLY_EVENTS;
                if room {
                    waiting.push(event);
                }
                room
            }
            Owner::Call { id, call } => match call.upgrade() {
                Some(call) => {
                    call.do_send(ModelSaid {
                        session: *id,
                        event,
                        at,
                    });
                    true
                }
                None => false,
            },
        }
    }

    fn on_dialled(&mut self, result: Result<Socket, Refusal>, ctx: &mut Context<Self>) {
        match result {
            Ok(socket) if !self.hanging_up => {
                self.io.open(socket);
                self.heard_at = Instant::now();
                ctx.spawn(Pump::default());
                self.looks = Some(ActorTimer::every(MODEL_PING, ctx.address().downgrade()));
                self.say(ModelEvent::Opened);
            }
            Ok(_) => ctx.stop(),
            Err(refusal) => {
                self.say(ModelEvent::Refused(refusal));
                ctx.stop();
            }
        }
    }

    /// Pings a quiet server, and gives up one that answers nothing.
    pub(super) fn look(&mut self, ctx: &mut Context<Self>) {
        if matches!(&self.owner, Owner::Nobody { since, .. } if since.elapsed() >= UNCLAIMED) {
            log::info!(target: "switchboard::openai", call_sid = self.shared.call_sid(); "early session closed, nobody came");
            self.close(1000);
            return;
        }
        let quiet = self.heard_at.elapsed();
        let is_excused = self
            .excused_until
            .is_some_and(|until| Instant::now() < until);
        if quiet >= MODEL_SILENCE && !is_excused {
            self.io.drop_socket();
            self.say(ModelEvent::Unresponsive);
            ctx.stop();
        } else if quiet >= MODEL_PING {
            self.io.push(Message::Ping(Bytes::new()), None);
        }
    }

    /// The socket is of no more use.
    pub(super) fn lose(&mut self, why: &str, ctx: &mut Context<Self>) {
        self.io.drop_socket();
        self.say(ModelEvent::Closed {
            why: ModelClose::Reset,
            reason: why.to_owned(),
            quiet: self.heard_at.elapsed(),
        });
        ctx.stop();
    }

    /// Says goodbye; the pump ends the actor when it has left.
    fn close(&mut self, code: u16) {
        self.hanging_up = true;
        self.io.push_close(code);
    }

    /// A frame came from the server, or the end of its frames.
    pub(super) fn on_frame(&mut self, item: Result<Frame, ProtocolError>, ctx: &mut Context<Self>) {
        let now = Instant::now();
        if item.is_ok() {
            self.heard_at = now;
        }
        match self.frames.judge_frame(item, now) {
            FrameAction::Text(text) => self.on_text(text.as_bytes()),
            FrameAction::Answer(ping) => self.io.push(Message::Pong(ping), None),
            FrameAction::Nothing => {}
            FrameAction::Closed(reason) => self.on_closed(reason),
            FrameAction::Vanished(error) => self.lose(&error.to_string(), ctx),
            FrameAction::Reject(fault) => {
                // The server broke a WebSocket rule.
                self.say(ModelEvent::Rejected(fault));
                self.close(fault.close_code());
            }
        }
    }

    fn on_closed(&mut self, reason: Option<CloseReason>) {
        let code = reason.as_ref().map(|reason| u16::from(reason.code));
        let text = reason
            .and_then(|reason| reason.description)
            .unwrap_or_default();
        self.say(ModelEvent::Closed {
            why: openai::errors::close_of(code),
            reason: clip(&text, 128).to_owned(),
            quiet: Duration::ZERO,
        });
        self.close(code.unwrap_or(1000));
    }

    fn on_text(&mut self, text: &Bytes) {
        self.shared.tap(Wire::ModelIn, text);
        let mut event = openai::read(text, &mut self.ids).unwrap_or_else(ModelEvent::Unusable);
        if let ModelEvent::ResponseDone(done) = &mut event {
            openai::prices::price(done, model_of(&self.url));
        }
        if matches!(event, ModelEvent::Ignored) {
            return;
        }
        if !self.say_at(event, self.heard_at) {
            self.close(1000);
        }
    }

    fn on_command(&mut self, command: &ModelCommand, since: Option<Instant>) {
        if self.hanging_up {
            return;
        }
        let audio = matches!(command, ModelCommand::Append(_));
        if audio && self.io.backlog() > MODEL_BACKLOG {
            self.shared.metrics.frames_from_caller.dropped.inc();
            return;
        }
        if self.io.backlog() > MODEL_BACKLOG_FATAL {
            self.say(ModelEvent::Unresponsive);
            self.hanging_up = true;
            return;
        }
        if let Some(text) = encode_text(|out| openai::write(out, command)) {
            self.shared.tap(Wire::ModelOut, text.as_bytes());
            self.io.push(Message::Text(text), since.filter(|_| audio));
        }
    }
}

/// The model that a session's URL asks for.
fn model_of(url: &str) -> &str {
    let (_, model) = url.rsplit_once("model=").unwrap_or_default();
    model.split('&').next().unwrap_or_default()
}

impl Drop for OpenAiSession {
    /// A session that dies by a panic could tell its call nothing. Nothing in here may panic.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.say(ModelEvent::Closed {
                why: ModelClose::Reset,
                reason: "panicked".to_owned(),
                quiet: self.heard_at.elapsed(),
            });
        }
    }
}

impl Actor for OpenAiSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MODEL_MAILBOX);
        let (dialler, url) = (self.dialler.clone(), self.url.clone());
        let dial = async move { dialler.dial(&url).await };
        ctx.spawn(
            dial.into_actor(self)
                .map(|result, session, ctx| session.on_dialled(result, ctx)),
        );
    }
}

impl Handler<Adopt> for OpenAiSession {
    type Result = ();

    fn handle(&mut self, adopt: Adopt, _: &mut Self::Context) {
        self.shared = adopt.shared;
        let owner = Owner::Call {
            id: adopt.id,
            call: adopt.call,
        };
        if let Owner::Nobody { waiting, .. } = std::mem::replace(&mut self.owner, owner) {
            for event in waiting {
                self.say(event);
            }
        }
    }
}

impl Handler<TimerFired> for OpenAiSession {
    type Result = ();

    /// A server is not silent because this thread stood still: it was not asked anything meanwhile, and what it said
    /// then is read before it is looked after.
    fn handle(&mut self, due: TimerFired, ctx: &mut Self::Context) {
        if due.stood_still() {
            self.excused_until = Some(Instant::now() + MODEL_ANSWERS);
            self.next_look = Some(ActorTimer::once(MODEL_ANSWERS, ctx.address().downgrade()));
        }
        self.look_due = true;
    }
}

impl Handler<ToModel> for OpenAiSession {
    type Result = ();

    fn handle(&mut self, message: ToModel, ctx: &mut Self::Context) {
        failpoints::in_actor("model.message", self.shared.call_sid(), self, ctx);
        match message {
            ToModel::Command { command, since } => self.on_command(&command, since),
            ToModel::HangUp if self.io.is_open() && !self.hanging_up => self.close(1000),
            ToModel::HangUp => {
                // Still dialling, or the goodbye is under way.
                if !self.io.is_open() {
                    self.hanging_up = true;
                    ctx.stop();
                }
            }
        }
    }
}

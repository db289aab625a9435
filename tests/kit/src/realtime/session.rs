//! One connection's task: the socket on one side, the engine on the other.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::engine::Engine;
use super::faults::Command;
use super::inspect::{Ended, Session, SessionLog};
use super::send_queue::{Outbox, Outgoing};
use super::server::Shared;
use super::upgrade::{self, Admission};
use super::wire::Wire;

/// How long the other side may take to answer a close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Frames that are read at a stretch before the answers are flushed.
const FRAMES_AT_ONCE: usize = 32;

/// Far enough away to stand for "no deadline".
const NEVER: Duration = Duration::from_secs(86_400);

/// The time, pausable in tests.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Serves one accepted connection to its end.
pub(crate) async fn serve(tcp: TcpStream, shared: Arc<Shared>) {
    let (sender, commands) = unbounded_channel();
    let back = sender.clone();
    let (number, faults) = shared.faults.connected(sender);
    let log = Arc::new(SessionLog::new(number, now(), shared.recording));
    shared.remember(Session(log.clone()));
    // Small frames at a steady pace: waiting to fill a segment would only delay them.
    if let Err(error) = tcp.set_nodelay(true) {
        log::debug!(error:% = error; "no TCP_NODELAY");
    }
    let Some((socket, admission)) = upgrade::open(tcp, &shared.policy, &faults, &log).await else {
        log::info!(connection = number; "upgrade refused");
        return;
    };
    let mut line = Line {
        socket,
        log: log.clone(),
        back,
    };
    match admission {
        Admission::Welcome(model) => {
            let unix_now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs());
            log::info!(connection = number, model = model.name.as_str(); "session opened");
            let settings = shared.settings.clone();
            let engine = Engine::new(settings, model, faults, log.clone(), unix_now, now());
            run(&mut line, engine, commands).await;
        }
        Admission::TurnedAway {
            error,
            code,
            reason,
        } => {
            let mut outbox = Outbox::new(number as u64);
            outbox.emit_error(&error, None);
            while let Some(Outgoing::Event { text, .. }) = outbox.pop() {
                log.sent(now(), &text);
                if let Err(error) = line.socket.feed(Message::Text(text)).await {
                    log::debug!(connection = number, error:% = error; "lost while turning away");
                }
            }
            line.close(code, reason).await;
        }
    }
    log::info!(connection = number; "session over");
}

/// What the loop does after sending.
enum Next {
    GoOn,
    End,
}

async fn run(line: &mut Line, mut engine: Engine, mut commands: UnboundedReceiver<Command>) {
    let timer = tokio::time::sleep(NEVER);
    tokio::pin!(timer);
    let mut armed_for = None;
    loop {
        match line.send_all(&mut engine, &mut commands).await {
            Ok(Next::GoOn) => {}
            Ok(Next::End) => return,
            Err(error) => return line.lost(&error),
        }
        let deadline = engine.deadline();
        if deadline != armed_for {
            let at = deadline.map_or_else(|| tokio::time::Instant::now() + NEVER, Into::into);
            timer.as_mut().reset(at);
            armed_for = deadline;
        }
        tokio::select! {
            biased;
            frame = line.socket.next() => {
                let mut frame = Some(frame);
                let mut left = FRAMES_AT_ONCE;
                while let Some(arrived) = frame {
                    if !line.take(arrived, &mut engine).await {
                        return;
                    }
                    left -= 1;
                    frame = if left == 0 { None } else { line.socket.next().now_or_never() };
                }
            }
            Some(command) = commands.recv() => engine_command(&mut engine, command),
            () = &mut timer => {
                engine.tick(now());
                armed_for = None;
            }
        }
    }
}

fn engine_command(engine: &mut Engine, command: Command) {
    match command {
        Command::Inject(fault) => {
            engine.inject(fault, now());
            // At once means before anything else that is read.
            engine.tick(now());
        }
        Command::Clear => engine.clear_faults(),
        Command::Answered(answered) => {
            engine.tools_answered(answered, now());
            engine.tick(now());
        }
    }
}

/// The socket and the record of what passes over it.
struct Line {
    socket: WebSocketStream<Wire>,
    log: Arc<SessionLog>,
    /// Where what servers of tools answer goes.
    back: UnboundedSender<Command>,
}

impl Line {
    /// Sends everything the engine has ready, with one flush.
    async fn send_all(
        &mut self,
        engine: &mut Engine,
        commands: &mut UnboundedReceiver<Command>,
    ) -> Result<Next, Error> {
        let mut fed = false;
        while let Some(outgoing) = engine.next() {
            match outgoing {
                Outgoing::Unrecorded(text) => self.socket.feed(Message::Text(text)).await?,
                Outgoing::Frames(frames) => {
                    for frame in frames {
                        self.socket.feed(frame).await?;
                    }
                }
                Outgoing::Event { text, .. } => {
                    self.log.sent(now(), &text);
                    self.socket.feed(Message::Text(text)).await?;
                }
                Outgoing::Close { code, reason } => {
                    self.close(code, reason).await;
                    return Ok(Next::End);
                }
                Outgoing::Reset => {
                    self.socket.flush().await?;
                    self.socket.get_ref().tcp().set_zero_linger()?;
                    self.log.ended(Ended::Reset);
                    return Ok(Next::End);
                }
                Outgoing::Ask(ask) => {
                    let back = self.back.clone();
                    tokio::spawn(async move {
                        // A session that is over needs no answer.
                        let _ = back.send(Command::Answered(ask.carry_out().await));
                    });
                }
                Outgoing::Stall(how_long) => {
                    self.socket.flush().await?;
                    stall(how_long, engine, commands).await;
                }
            }
            fed = true;
        }
        if fed {
            self.socket.flush().await?;
        }
        let withhold = engine.quirks.withhold_pong;
        self.socket.get_mut().withhold_pong(withhold);
        Ok(Next::GoOn)
    }

    /// Hands a frame to the engine. False once the connection is over.
    async fn take(&mut self, frame: Option<Result<Message, Error>>, engine: &mut Engine) -> bool {
        match frame {
            Some(Ok(Message::Text(text))) => engine.receive(&text, now()),
            Some(Ok(Message::Binary(_))) => engine.receive_binary(),
            Some(Ok(Message::Close(frame))) => {
                engine.book_echo();
                let frame = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                self.log.ended(Ended::ByClient(frame));
                self.drain().await;
                return false;
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                engine.book_echo();
                self.lost(&error);
                return false;
            }
            None => {
                self.log.ended(Ended::ByClient(None));
                return false;
            }
        }
        true
    }

    async fn close(&mut self, code: u16, reason: String) {
        self.log.ended(Ended::ByServer(code, reason.clone()));
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        if self.socket.close(Some(frame)).await.is_ok() {
            self.drain().await;
        }
    }

    /// Lets the closing handshake finish.
    async fn drain(&mut self) {
        let rest = async { while let Some(Ok(_)) = self.socket.next().await {} };
        // Whoever does not answer is left without one.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, rest).await;
    }

    fn lost(&self, error: &Error) {
        self.log.ended(Ended::Lost(error.to_string()));
    }
}

/// Does nothing for a while. Clearing the faults ends it early.
async fn stall(
    how_long: Option<Duration>,
    engine: &mut Engine,
    commands: &mut UnboundedReceiver<Command>,
) {
    let over = tokio::time::sleep(how_long.unwrap_or(NEVER));
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return,
            Some(command) = commands.recv() => {
                let cleared = matches!(command, Command::Clear);
                engine_command(engine, command);
                if cleared {
                    return;
                }
            }
        }
    }
}

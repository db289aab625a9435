//! What each TwiML verb does to the call.

use std::sync::LazyLock;
use std::time::Duration;

use call_protocol::audio::{FRAME_BYTES, FRAME_MS, SILENCE, encode_sample};
use tokio::time::{Instant, sleep_until};

use super::call::{Flow, Leg, Next};
use super::caller::{Caller, CallerAction, Heard};
use super::fault::Fault;
use super::line::DialAnswer;
use super::outcome::CallEnd;
use super::room::{Entry, RoomState};
use super::twiml::{Conference, Connect, Verb};
use super::webhook::{Method, Params};

/// What `<Say>` and `<Play>` sound like here: a 400 Hz tone, so that whoever listens for speech hears some.
static VOICE: LazyLock<[u8; FRAME_BYTES]> = LazyLock::new(|| {
    let mut frame = [SILENCE; FRAME_BYTES];
    for (index, byte) in frame.iter_mut().enumerate() {
        let phase = std::f64::consts::TAU * 400.0 * index as f64 / 8_000.0;
        *byte = encode_sample((phase.sin() * 6_000.0) as i16);
    }
    frame
});

/// What the caller hears while a verb takes its time.
#[derive(Debug, Clone, Copy)]
enum Sound {
    Voice,
    Quiet,
}

impl<C: Caller> Leg<'_, C> {
    pub(crate) async fn run_verb(&mut self, verb: &Verb) -> Flow {
        match verb {
            Verb::Connect(connect) => self.connect(connect).await,
            Verb::Say { text, .. } => {
                let pace = self.line.pace.say_ms_per_character;
                let ms = pace * text.chars().count() as u64;
                self.pass_time(ms, Sound::Voice).await
            }
            Verb::Pause { length_s } => {
                let ms = self.line.pace.ms_per_second * length_s;
                self.pass_time(ms, Sound::Quiet).await
            }
            // The emulator fetches no files; a clip counts as a second of sound.
            Verb::Play { .. } => {
                self.pass_time(self.line.pace.ms_per_second, Sound::Voice)
                    .await
            }
            Verb::Dial {
                action,
                method,
                conference: Some(conference),
                ..
            } => self.meet(conference, action.as_deref(), *method).await,
            Verb::Dial {
                action,
                method,
                timeout_s,
                screen,
                ..
            } => {
                self.dial(action.as_deref(), *method, *timeout_s, screen.as_deref())
                    .await
            }
            Verb::Redirect { url, method } => Flow::Goto(Next::Fetch {
                method: *method,
                url: url.clone(),
                more: Params::new(),
            }),
            Verb::Hangup => Flow::End(CallEnd::HungUp),
            Verb::Reject { reason } => Flow::End(CallEnd::Rejected {
                reason: reason.clone(),
            }),
            Verb::Gather {
                action,
                method,
                text,
                timeout_s,
            } => {
                self.gather(action.as_deref(), *method, text, *timeout_s)
                    .await
            }
            Verb::Unknown { .. } => Flow::Continue,
        }
    }

    async fn connect(&mut self, connect: &Connect) -> Flow {
        match (self.stream(&connect.stream).await, &connect.action) {
            (Flow::Continue, Some(url)) => Flow::Goto(Next::Fetch {
                method: connect.method,
                url: url.clone(),
                more: Params::new(),
            }),
            (flow, _) => flow,
        }
    }

    /// Speaks, then waits for a key; only whoever has [`Manners`](super::Manners) presses one.
    async fn gather(
        &mut self,
        action: Option<&str>,
        method: Method,
        text: &str,
        timeout_s: u64,
    ) -> Flow {
        let pace = self.line.pace;
        let ms = pace.say_ms_per_character * text.chars().count() as u64;
        let flow = self.pass_time(ms, Sound::Voice).await;
        let Flow::Continue = flow else {
            return flow;
        };
        let (Some(key), Some(action)) = (self.line.manners.key, action) else {
            return self
                .pass_time(pace.ms_per_second * timeout_s, Sound::Quiet)
                .await;
        };
        Flow::Goto(Next::Fetch {
            method,
            url: action.to_owned(),
            more: vec![("Digits".to_owned(), key.to_string())],
        })
    }

    /// Stays in a conference until it ends, or until whoever it is has had enough.
    async fn meet(
        &mut self,
        conference: &Conference,
        action: Option<&str>,
        method: Method,
    ) -> Flow {
        let began = Instant::now();
        let entry = Entry {
            starts: conference.starts,
            ends: conference.ends,
        };
        let seat = self.line.rooms.enter(&conference.name, &self.sid, entry);
        let mut talking_since = None;
        while seat.state() != RoomState::Ended {
            let now = Instant::now();
            let (since, patience) = if seat.state() == RoomState::Talking {
                (*talking_since.get_or_insert(now), self.line.manners.talk_ms)
            } else {
                (began, self.line.manners.waits_ms)
            };
            if patience.is_some_and(|ms| now - since >= Duration::from_millis(ms)) {
                return Flow::End(CallEnd::CallerHungUp);
            }
            let sound = match seat.state() {
                RoomState::Waiting => Sound::Voice,
                RoomState::Talking | RoomState::Ended => Sound::Quiet,
            };
            match self.pass_time(FRAME_MS, sound).await {
                Flow::Continue => {}
                flow => return flow,
            }
        }
        let Some(action) = action else {
            return Flow::Continue;
        };
        let seconds = began.elapsed().as_secs().to_string();
        // <https://www.twilio.com/docs/voice/twiml/dial#dialcallstatus>: `answered` is for conferences.
        let more = [
            ("DialCallStatus", "answered".to_owned()),
            ("DialCallDuration", seconds),
            ("DialBridged", "false".to_owned()),
        ];
        Flow::Goto(Next::Fetch {
            method,
            url: action.to_owned(),
            more: more.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        })
    }

    async fn dial(
        &mut self,
        action: Option<&str>,
        method: Method,
        timeout_s: u64,
        screen: Option<&str>,
    ) -> Flow {
        let script = &self.line.dial;
        let answer = script
            .get(self.dials)
            .or(script.last())
            .copied()
            .unwrap_or(DialAnswer::NoAnswer);
        self.dials += 1;
        let leg = self.line.sids.mint("CA");
        let answer = match (answer, screen) {
            (DialAnswer::Answered { .. } | DialAnswer::Declines, Some(url)) => {
                self.screen(url, &leg, answer).await
            }
            _ => answer,
        };
        let pace = self.line.pace;
        let (status, ms, talk_ms) = match answer {
            DialAnswer::Answered { talk_ms } => ("completed", pace.ring_ms + talk_ms, talk_ms),
            DialAnswer::Declines => ("completed", pace.ring_ms, 0),
            DialAnswer::Busy => ("busy", pace.ring_ms, 0),
            DialAnswer::NoAnswer => ("no-answer", pace.ms_per_second * timeout_s, 0),
            DialAnswer::Failed => ("failed", 0, 0),
        };
        if let Some(record) = self.outcome.verbs.last_mut() {
            record.dial_status = Some(status);
        }
        let flow = self.pass_time(ms, Sound::Quiet).await;
        let (Flow::Continue, Some(action)) = (&flow, action) else {
            return flow;
        };
        let more = [
            ("DialCallStatus", status.to_owned()),
            ("DialCallSid", leg),
            ("DialCallDuration", (talk_ms / 1_000).to_string()),
            ("DialBridged", (talk_ms > 0).to_string()),
        ];
        Flow::Goto(Next::Fetch {
            method,
            url: action.to_owned(),
            more: more.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        })
    }

    /// Has the party that answered hear what the document says, and press 1 if it takes the caller.
    async fn screen(&mut self, url: &str, leg: &str, answer: DialAnswer) -> DialAnswer {
        let of_leg = |more: &[(&str, &str)]| {
            let own = [
                ("CallSid", leg),
                ("ParentCallSid", &*self.sid),
                ("CallStatus", "in-progress"),
                ("Direction", "outbound-dial"),
            ];
            let fields = own.iter().chain(more);
            let fields = fields.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            fields.collect::<Params>()
        };
        let (first, second) = (of_leg(&[]), of_leg(&[("Digits", "1")]));
        let Ok(document) = self.fetch(Method::Post, url, first).await else {
            return DialAnswer::Declines;
        };
        let Some(Verb::Gather {
            action,
            method,
            text,
            ..
        }) = document.verbs.into_iter().next()
        else {
            return answer;
        };
        if let Some(record) = self.outcome.verbs.last_mut() {
            record.briefing = Some(text);
        }
        let (DialAnswer::Answered { .. }, Some(action)) = (answer, action) else {
            return DialAnswer::Declines;
        };
        match self.fetch(method, &action, second).await {
            Ok(document) if document.verbs.is_empty() => answer,
            Ok(_) | Err(_) => DialAnswer::Declines,
        }
    }

    /// Lets a verb last, with the caller listening and free to hang up.
    async fn pass_time(&mut self, ms: u64, sound: Sound) -> Flow {
        let began = Instant::now();
        for frame in 0..ms.div_ceil(FRAME_MS) {
            let due = began + Duration::from_millis(frame * FRAME_MS);
            tokio::select! {
                update = self.registration.next() => return update.into(),
                () = sleep_until(due) => {}
            }
            if due >= self.deadline {
                return Flow::End(CallEnd::TimeLimit);
            }
            if let Some(end) = self.listen(sound) {
                return Flow::End(end);
            }
        }
        tokio::select! {
            biased;
            update = self.registration.next() => update.into(),
            () = sleep_until(began + Duration::from_millis(ms)) => Flow::Continue,
        }
    }

    fn listen(&mut self, sound: Sound) -> Option<CallEnd> {
        let now_ms = self.now_ms();
        let frame = match sound {
            Sound::Voice => *VOICE,
            Sound::Quiet => [SILENCE; FRAME_BYTES],
        };
        self.agent.frame(now_ms.saturating_sub(FRAME_MS), &frame);
        let heard = Heard {
            frame: &frame,
            speaking_ms: self.agent.speaking_ms(now_ms),
            quiet_ms: self.agent.quiet_ms(now_ms),
            loud_ms: self.agent.loud_ms(),
            on_stream: false,
        };
        let mut said = [SILENCE; FRAME_BYTES];
        match self.caller.frame(now_ms, &heard, &mut said) {
            CallerAction::HangUp => Some(CallEnd::CallerHungUp),
            CallerAction::GiveUp(why) => Some(CallEnd::CallerGaveUp { why }),
            CallerAction::Fault(Fault::Vanish) => Some(CallEnd::CallerVanished),
            CallerAction::Speak | CallerAction::Key(_) | CallerAction::Fault(_) => None,
        }
    }
}

/// A verb in a few words, for a live display.
pub(crate) fn describe(verb: &Verb) -> String {
    match verb {
        Verb::Connect(_) => "connect stream".to_owned(),
        Verb::Say { text, .. } => format!("say {text:?}"),
        Verb::Dial {
            conference: Some(_),
            ..
        } => "dial a conference".to_owned(),
        Verb::Dial { numbers, .. } => format!("dial {} parties", numbers.len()),
        Verb::Gather { .. } => "gather".to_owned(),
        Verb::Redirect { url, .. } => format!("redirect {url}"),
        Verb::Hangup => "hangup".to_owned(),
        Verb::Pause { length_s } => format!("pause {length_s} s"),
        Verb::Play { digits, .. } => match digits {
            Some(_) => "play digits".to_owned(),
            None => "play".to_owned(),
        },
        Verb::Reject { reason } => format!("reject {reason}"),
        Verb::Unknown { name } => format!("skip <{name}>"),
    }
}

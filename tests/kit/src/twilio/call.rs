//! One call from the first webhook to its end.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::time::Instant;

use super::activity::Activity;
use super::callbacks::Callbacks;
use super::caller::Caller;
use super::event::{Happening, PhoneEvent};
use super::exchange::{Registration, Update};
use super::line::{CallProgress, Line};
use super::outcome::{CallEnd, CallOutcome, DocumentFailure, DocumentRecord, VerbRecord};
use super::twiml::{self, Document};
use super::webhook::{self, Method, Params};

/// Documents fetched in one call; more is a redirect going in circles.
const MAX_DOCUMENTS: usize = 100;

impl Line {
    /// Plays one call with this caller; returns when it is over and every status callback is answered.
    ///
    /// Needs a tokio runtime with time and io. Dropping the future drops the call like a power cut.
    pub async fn call(&self, caller: impl Caller) -> CallOutcome {
        Leg::new(self, caller).run().await
    }
}

/// What the call does after a verb.
#[derive(Debug)]
pub(crate) enum Flow {
    /// The next verb of the document.
    Continue,
    /// Another document.
    Goto(Next),
    End(CallEnd),
}

/// Where the next document comes from.
#[derive(Debug)]
pub(crate) enum Next {
    Fetch {
        method: Method,
        url: String,
        /// Fields beyond those of every request.
        more: Params,
    },
    Inline(String),
}

impl From<Update> for Flow {
    fn from(update: Update) -> Self {
        match update {
            Update::Fetch { url, method } => Self::Goto(Next::Fetch {
                method,
                url,
                more: Params::new(),
            }),
            Update::Twiml(twiml) => Self::Goto(Next::Inline(twiml)),
            Update::Complete => Self::End(CallEnd::Completed),
        }
    }
}

/// The state of one call, shared by its verbs and its streams.
pub(crate) struct Leg<'l, C> {
    pub(crate) line: &'l Line,
    pub(crate) caller: C,
    pub(crate) sid: Arc<str>,
    pub(crate) began: Instant,
    pub(crate) deadline: Instant,
    pub(crate) registration: Registration,
    pub(crate) callbacks: Callbacks,
    pub(crate) agent: Activity,
    pub(crate) mouth: Activity,
    pub(crate) outcome: CallOutcome,
    /// Parties rung so far.
    pub(crate) dials: usize,
    answered: bool,
    status_sequence: u64,
}

impl<'l, C: Caller> Leg<'l, C> {
    fn new(line: &'l Line, caller: C) -> Self {
        let sid = line.sids.mint("CA");
        Self::named(line, caller, sid)
    }

    /// The leg of somebody who was called, and has answered.
    pub(crate) fn outbound(line: &'l Line, caller: C, sid: &str) -> Self {
        let mut leg = Self::named(line, caller, sid.to_owned());
        leg.answered = true;
        leg
    }

    fn named(line: &'l Line, caller: C, sid: String) -> Self {
        let began = Instant::now();
        Self {
            line,
            caller,
            registration: line.exchange.register(&sid),
            callbacks: Callbacks::open(line, began),
            sid: Arc::from(sid.as_str()),
            began,
            deadline: began + line.time_limit,
            agent: Activity::default(),
            mouth: Activity::default(),
            outcome: CallOutcome {
                call_sid: sid,
                duration_ms: 0,
                end: CallEnd::DocumentEnded,
                documents: Vec::new(),
                verbs: Vec::new(),
                streams: Vec::new(),
                callbacks: Vec::new(),
            },
            dials: 0,
            answered: false,
            status_sequence: 0,
        }
    }

    pub(crate) async fn run(mut self) -> CallOutcome {
        self.report_progress(CallProgress::Ringing, "ringing");
        let first = Next::Fetch {
            method: self.line.webhook_method,
            url: self.line.webhook.to_string(),
            more: Params::new(),
        };
        let end = self.run_documents(first).await;
        self.outcome.duration_ms = self.now_ms();
        self.report_progress(CallProgress::Completed, self.final_status(&end));
        self.tell(Happening::CallEnded { end: end.clone() });
        self.outcome.end = end;
        self.outcome.callbacks = self.callbacks.close().await;
        self.outcome
    }

    async fn run_documents(&mut self, first: Next) -> CallEnd {
        let mut next = first;
        loop {
            if self.outcome.documents.len() >= MAX_DOCUMENTS {
                return CallEnd::ApplicationError {
                    code: 11_200,
                    text: format!("{MAX_DOCUMENTS} documents in one call"),
                };
            }
            let document = match self.document(next).await {
                Ok(document) => document,
                Err(end) => return end,
            };
            if !self.answered {
                self.answered = true;
                self.report_progress(CallProgress::Answered, "in-progress");
            }
            match self.run_verbs(document).await {
                Flow::Continue => return CallEnd::DocumentEnded,
                Flow::Goto(then) => next = then,
                Flow::End(end) => return end,
            }
        }
    }

    async fn run_verbs(&mut self, document: Document) -> Flow {
        for verb in document.verbs {
            let at_ms = self.now_ms();
            self.tell(Happening::VerbStarted {
                verb: super::verbs::describe(&verb),
            });
            self.outcome.verbs.push(VerbRecord {
                at_ms,
                took_ms: 0,
                verb: verb.clone(),
                dial_status: None,
                briefing: None,
            });
            let flow = self.run_verb(&verb).await;
            let now_ms = self.now_ms();
            if let Some(record) = self.outcome.verbs.last_mut() {
                record.took_ms = now_ms - at_ms;
            }
            if !matches!(flow, Flow::Continue) {
                return flow;
            }
        }
        Flow::Continue
    }

    async fn document(&mut self, next: Next) -> Result<Document, CallEnd> {
        let (method, url, more) = match next {
            Next::Inline(text) => {
                let url = self.line.webhook.as_str();
                return twiml::parse("text/xml", text.as_bytes(), url).map_err(|bad| {
                    CallEnd::ApplicationError {
                        code: bad.code,
                        text: bad.text,
                    }
                });
            }
            Next::Fetch { method, url, more } => (method, url, more),
        };
        let failure = match self.fetch(method, &url, more.clone()).await {
            Ok(document) => return Ok(document),
            Err(failure) => failure,
        };
        let given_up = CallEnd::ApplicationError {
            code: failure.code,
            text: failure.text,
        };
        let Some(fallback) = &self.line.fallback else {
            return Err(given_up);
        };
        let mut more = more;
        more.push(("ErrorCode".to_owned(), failure.code.to_string()));
        more.push(("ErrorUrl".to_owned(), url));
        self.fetch(Method::Post, fallback.as_str(), more)
            .await
            .map_err(|_| given_up)
    }

    /// Requests one document and records what came of it.
    pub(crate) async fn fetch(
        &mut self,
        method: Method,
        url: &str,
        more: Params,
    ) -> Result<Document, DocumentFailure> {
        let at_ms = self.now_ms();
        let status = if self.answered {
            "in-progress"
        } else {
            "ringing"
        };
        // Fields of another leg take the place of this one's.
        let mut params = self.params(status);
        params.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        params.extend(self.line.extra_params.iter().cloned());
        params.extend(more);
        let token = self.line.sids.idempotency_token();
        let answer = webhook::request(self.line, method, url, &params, &token).await;
        let took_ms = self.now_ms() - at_ms;
        let (status, body, result) = match answer {
            Ok(reply) => {
                let result = read_document(&reply, url);
                let body = reply.body.unwrap_or_default();
                let body = String::from_utf8_lossy(&body).into_owned();
                (Some(reply.status), body, result)
            }
            Err(error) => {
                let failure = DocumentFailure {
                    code: error.code(),
                    text: error.to_string(),
                };
                (None, String::new(), Err(failure))
            }
        };
        self.tell(match &result {
            Ok(_) => Happening::WebhookAnswered {
                url: url.to_owned(),
                status: status.unwrap_or_default(),
                took_ms,
            },
            Err(failure) => Happening::WebhookFailed {
                url: url.to_owned(),
                code: failure.code,
                text: failure.text.clone(),
            },
        });
        self.outcome.documents.push(DocumentRecord {
            at_ms,
            url: url.to_owned(),
            method,
            params,
            took_ms,
            status,
            body,
            result: result.clone(),
        });
        result
    }

    /// The fields every request about this call carries (<https://www.twilio.com/docs/voice/twiml#request-parameters>).
    pub(crate) fn params(&self, status: &str) -> Params {
        request_params(self.line, &self.sid, status)
    }

    fn report_progress(&mut self, progress: CallProgress, status: &str) {
        let Some(url) = self.line.status_callback.clone() else {
            return;
        };
        let sequence = self.status_sequence;
        if !self.line.status_events.contains(&progress) {
            return;
        }
        self.status_sequence += 1;
        let ended = progress == CallProgress::Completed;
        let seconds = ended.then_some(self.outcome.duration_ms / 1_000);
        let params = progress_params(self.params(status), sequence, seconds);
        self.callbacks.send(Method::Post, &url, params);
    }

    fn final_status(&self, end: &CallEnd) -> &'static str {
        match end {
            CallEnd::Rejected { reason } if reason == "busy" => "busy",
            CallEnd::Rejected { .. } => "no-answer",
            CallEnd::ApplicationError { .. } if !self.answered => "failed",
            _ => "completed",
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub(crate) fn tell(&self, what: Happening) {
        if let Some(observer) = &self.line.observer {
            // An observer that went away is no fault of the call.
            let _ = observer.send(PhoneEvent {
                at_ms: self.now_ms(),
                call_sid: Arc::clone(&self.sid),
                what,
            });
        }
    }
}

pub(crate) fn request_params(line: &Line, call_sid: &str, status: &str) -> Params {
    [
        ("AccountSid", line.account.sid.as_str()),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", call_sid),
        ("CallStatus", status),
        ("Called", &line.to),
        ("Caller", &line.from),
        ("Direction", line.direction),
        ("From", &line.from),
        ("To", &line.to),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Adds the fields of a call status callback
/// (<https://www.twilio.com/docs/voice/api/call-resource#statuscallback>).
pub(crate) fn progress_params(mut params: Params, sequence: u64, seconds: Option<u64>) -> Params {
    let mut add = |name: &str, value: String| params.push((name.to_owned(), value));
    let now = Timestamp::now();
    add(
        "Timestamp",
        rfc2822::to_string(&now.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default(),
    );
    add("SequenceNumber", sequence.to_string());
    add("CallbackSource", "call-progress-events".to_owned());
    if let Some(seconds) = seconds {
        add("CallDuration", seconds.to_string());
        add("Duration", seconds.div_ceil(60).max(1).to_string());
    }
    params
}

pub(crate) fn read_document(
    reply: &super::http::Reply,
    url: &str,
) -> Result<Document, DocumentFailure> {
    let failure = |code: u32, text: String| DocumentFailure { code, text };
    if !(200..300).contains(&reply.status) {
        let text = format!("{url} answered {}", reply.status);
        return Err(failure(11_200, text));
    }
    let Some(body) = &reply.body else {
        return Err(failure(11_750, format!("{url} answered more than 64 kB")));
    };
    twiml::parse(&reply.content_type, body, url).map_err(|bad| failure(bad.code, bad.text))
}

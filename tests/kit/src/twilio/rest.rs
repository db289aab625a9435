//! The REST API's calls: placed, changed, fetched; with the errors Twilio gives.
//!
//! Source: <https://www.twilio.com/docs/voice/api/call-resource>.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::exchange::Update;
use super::line::Line;
use super::person::{PersonCalled, PersonDoes, Placed};
use super::webhook;

/// The largest request read.
const MAX_REQUEST: usize = 64 * 1024;

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestFault {
    /// It is refused with this status and code.
    Refuses {
        /// The HTTP status.
        status: u16,
        /// Twilio's error code.
        code: u32,
    },
    /// It is done, and never answered.
    HangsWhenDone,
    /// It is done, and answered with what is no JSON.
    GarbageWhenDone,
}

/// A request, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestRequest {
    pub path: String,
    /// The fields of the body.
    pub fields: Vec<(String, String)>,
    /// The status it was answered with; `None`: never answered.
    pub status: Option<u16>,
}

impl RestRequest {
    /// A field of the body.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it was to place a call.
    #[must_use]
    pub fn places_a_call(&self) -> bool {
        self.path.ends_with("/Calls.json")
    }
}

#[derive(Debug, Default)]
struct Books {
    line: Option<Line>,
    people: VecDeque<PersonDoes>,
    faults: VecDeque<RestFault>,
    requests: Vec<RestRequest>,
    ringing: HashMap<String, bool>,
    legs: JoinSet<PersonCalled>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<Books>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running REST server of one account.
#[derive(Debug)]
pub struct RestApi {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// An answer: status and body.
type Answer = (u16, Value);

impl RestApi {
    /// Listens on a free loopback port for an account, whose user and password these are.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(account: &str, user: &str, password: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let basic = STANDARD.encode(format!("{user}:{password}"));
        let desk = Arc::new(Desk {
            base: format!("/2010-04-01/Accounts/{account}"),
            authorization: format!("Basic {basic}"),
            shared: Arc::clone(&shared),
        });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    let answer = service_fn(|request| desk.answer(request));
                    // A client that goes away is its own business.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// The base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls go out over this line from now on, and the calls on it can be changed.
    pub fn serve(&self, line: Line) {
        self.shared.lock().line = Some(line);
    }

    /// The next person called does this; without a word people let it ring.
    pub fn person(&self, does: PersonDoes) {
        self.shared.lock().people.push_back(does);
    }

    /// This goes wrong with the next request.
    pub fn fault(&self, fault: RestFault) {
        self.shared.lock().faults.push_back(fault);
    }

    /// The requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<RestRequest> {
        self.shared.lock().requests.clone()
    }

    /// Waits for the calls of all people to end, callbacks included.
    pub async fn people(&self) -> Vec<PersonCalled> {
        let legs = std::mem::take(&mut self.shared.lock().legs);
        let mut people = legs.join_all().await;
        people.sort_by(|one, other| one.call_sid.cmp(&other.call_sid));
        people
    }
}

impl Drop for RestApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers requests.
struct Desk {
    base: String,
    authorization: String,
    shared: Arc<Shared>,
}

impl Desk {
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_REQUEST).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let fields: webhook::Params = form_urlencoded::parse(&body).into_owned().collect();
        let path = head.uri.path().to_owned();
        let given = head.headers.get(AUTHORIZATION);
        let is_known = given.is_some_and(|given| given.as_bytes() == self.authorization.as_bytes());
        let fault = self.shared.lock().faults.pop_front();
        let (status, json) = match fault {
            Some(RestFault::Refuses { status, code }) => error(status, code, "As ordered."),
            _ if !is_known => error(401, 20_003, "Authenticate"),
            _ => self.carry_out(&head.method, &path, &fields),
        };
        let hangs = fault == Some(RestFault::HangsWhenDone);
        self.shared.lock().requests.push(RestRequest {
            path,
            fields,
            status: (!hangs).then_some(status),
        });
        if hangs {
            std::future::pending::<()>().await;
        }
        let text = if fault == Some(RestFault::GarbageWhenDone) {
            "<html>".to_owned()
        } else {
            json.to_string()
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status.try_into().unwrap_or_default();
        let json = hyper::header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        Ok(response)
    }

    fn carry_out(&self, method: &Method, path: &str, fields: &webhook::Params) -> Answer {
        let Some(resource) = path.strip_prefix(&self.base) else {
            return error(404, 20_404, "The requested resource was not found");
        };
        if resource == "/Calls.json" && method == Method::POST {
            return self.place(fields);
        }
        let sid = resource
            .strip_prefix("/Calls/")
            .and_then(|rest| rest.strip_suffix(".json"));
        match sid {
            Some(sid) if method == Method::POST => self.change(sid, fields),
            Some(sid) => self.fetch(sid),
            None => error(404, 20_404, "The requested resource was not found"),
        }
    }

    fn place(&self, fields: &webhook::Params) -> Answer {
        let field = |name: &str| {
            let found = fields.iter().find(|(field, _)| field == name);
            found.map(|(_, value)| value.clone())
        };
        let (Some(to), Some(from)) = (field("To"), field("From")) else {
            return error(400, 21_201, "No 'To' number is specified");
        };
        if !to.starts_with('+') {
            return error(400, 21_211, "Invalid 'To' Phone Number");
        }
        let Some(url) = field("Url") else {
            return error(400, 21_205, "Url parameter is required");
        };
        let mut books = self.shared.lock();
        let Some(line) = books.line.clone() else {
            return error(500, 20_500, "No line");
        };
        let does = books.people.pop_front();
        let does = does.unwrap_or(PersonDoes::LetsItRing { ms: 30_000 });
        let call_sid = line.sids.mint("CA");
        let placed = Placed {
            call_sid: call_sid.clone(),
            to: to.clone(),
            from: from.clone(),
            url,
            status_callback: field("StatusCallback"),
        };
        books.ringing.insert(call_sid.clone(), true);
        let (shared, sid) = (Arc::clone(&self.shared), call_sid.clone());
        let answered = move || {
            shared.lock().ringing.insert(sid, false);
        };
        books.legs.spawn(placed.run(line, does, answered));
        let resource = json!({
            "sid": call_sid, "status": "queued", "direction": "outbound-api", "to": to, "from": from,
            "queue_time": "0", "price_unit": "USD",
        });
        (201, resource)
    }

    fn change(&self, sid: &str, fields: &webhook::Params) -> Answer {
        let books = self.shared.lock();
        let Some(line) = &books.line else {
            return error(404, 20_404, "The requested resource was not found");
        };
        let not_in_progress = || error(400, 21_220, "Call is not in-progress. Cannot redirect.");
        let is_ringing = books.ringing.get(sid).copied().unwrap_or_default();
        let Some((name, value)) = fields.first() else {
            return error(400, 20_001, "Nothing to change");
        };
        let update = match (name.as_str(), value.as_str()) {
            ("Status", "completed") => Update::Complete,
            ("Twiml" | "Url", _) if is_ringing => return not_in_progress(),
            ("Twiml", twiml) => Update::Twiml(twiml.to_owned()),
            ("Url", url) => Update::Fetch {
                url: url.to_owned(),
                method: webhook::Method::Post,
            },
            _ => return error(400, 20_001, "Unknown parameter"),
        };
        match line.exchange.update(sid, update) {
            Ok(()) => (200, json!({"sid": sid, "status": "in-progress"})),
            Err(_) => not_in_progress(),
        }
    }

    fn fetch(&self, sid: &str) -> Answer {
        let books = self.shared.lock();
        let live = books.line.as_ref().map(|line| line.exchange.live());
        if live.unwrap_or_default().iter().any(|live| live == sid) {
            return (200, json!({"sid": sid, "status": "in-progress"}));
        }
        error(404, 20_404, "The requested resource was not found")
    }
}

/// An error as Twilio words it.
fn error(status: u16, code: u32, message: &str) -> Answer {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({"code": code, "message": message, "more_info": more_info, "status": status});
    (status, body)
}

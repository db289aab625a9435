//! An HTTP server that stands for somebody's customer system: says what it is told to, remembers what it was asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Does {
    /// Does it and answers with this status, these headers and this body.
    Answers(u16, Vec<(&'static str, String)>, String),
    /// The same after a while.
    AnswersAfter(u64, String),
    /// Does it and closes the connection without a word.
    ClosesWhenDone,
    /// Does it and never answers.
    HangsWhenDone,
    /// Neither does it nor answers.
    Hangs,
}

impl Does {
    pub fn json(json: &str) -> Self {
        Self::Answers(200, Vec::new(), json.to_owned())
    }

    pub fn status(status: u16, body: &str) -> Self {
        Self::Answers(status, Vec::new(), body.to_owned())
    }

    /// The body is said to be of this kind; with an empty one nothing is said of it.
    pub fn of_kind(status: u16, kind: &str, body: &str) -> Self {
        let headers = vec![("Content-Type", kind.to_owned())];
        Self::Answers(status, headers, body.to_owned())
    }

    pub fn redirects(status: u16, to: &str) -> Self {
        Self::Answers(status, vec![("Location", to.to_owned())], String::new())
    }
}

/// A request it was sent.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub text: String,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug, Default)]
struct Books {
    asked: Vec<Asked>,
    next: VecDeque<Does>,
    last: Option<Does>,
    effects: u32,
    /// Keys of what was done, where it remembers them.
    done: Option<BTreeSet<String>>,
}

/// The server.
pub struct ToolServer {
    pub address: SocketAddr,
    books: Arc<Mutex<Books>>,
    task: JoinHandle<()>,
}

impl ToolServer {
    /// Does these one after the other, then the last one again and again.
    pub async fn start(does: impl IntoIterator<Item = Does>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let books = Arc::new(Mutex::new(Books {
            next: does.into_iter().collect(),
            ..Books::default()
        }));
        let kept = books.clone();
        let task = tokio::task::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::task::spawn(serve(socket, kept.clone()));
            }
        });
        Self {
            address,
            books,
            task,
        }
    }

    /// From now on the same `Idempotency-Key` is one effect.
    pub fn remembers_keys(&self) {
        self.books.lock().unwrap().done = Some(BTreeSet::new());
    }

    /// From now on it does this.
    pub fn now_does(&self, does: Does) {
        let mut books = self.books.lock().unwrap();
        books.next = VecDeque::from([does]);
    }

    pub fn url(&self) -> String {
        format!("http://{}/tools/it", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.books.lock().unwrap().asked.clone()
    }

    /// How often something was done in the world.
    pub fn effects(&self) -> u32 {
        self.books.lock().unwrap().effects
    }

    /// Waits for the request of this number, from 1.
    pub async fn asked_times(&self, times: usize) {
        super::until("the tool is asked", super::SOON, async || {
            self.asked().len() >= times
        })
        .await;
    }
}

impl Drop for ToolServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Books {
    fn take(&mut self, asked: Asked) -> Does {
        let does = self.next.pop_front().or_else(|| self.last.clone());
        let does = does.expect("told what to do");
        self.last = Some(does.clone());
        if !matches!(does, Does::Hangs) {
            let key = asked.header("idempotency-key").to_owned();
            let is_new = self.done.as_mut().is_none_or(|done| done.insert(key));
            self.effects += u32::from(is_new);
        }
        self.asked.push(asked);
        does
    }
}

async fn serve(mut socket: TcpStream, books: Arc<Mutex<Books>>) {
    let Some(asked) = read(&mut socket).await else {
        return;
    };
    let does = books.lock().unwrap().take(asked);
    let (status, headers, body) = match does {
        Does::Answers(status, headers, body) => (status, headers, body),
        Does::AnswersAfter(ms, body) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            (200, Vec::new(), body)
        }
        Does::ClosesWhenDone => return,
        Does::HangsWhenDone | Does::Hangs => std::future::pending().await,
    };
    let mut head = format!("HTTP/1.1 {status} So\r\n");
    if status != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    if !headers.iter().any(|(name, _)| *name == "Content-Type") {
        head.push_str("Content-Type: application/json\r\n");
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    // The client may have heard enough.
    let _ = socket.write_all(head.as_bytes()).await;
    let _ = socket.write_all(body.as_bytes()).await;
}

/// Reads one request; `None` if the connection ends before it does.
pub async fn read(socket: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8_192];
    loop {
        let count = socket
            .read(&mut chunk)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let path = lines.next()?.split(' ').nth(1)?.to_owned();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length: usize = headers.get("content-length")?.parse().ok()?;
        if bytes.len() < end + 4 + length {
            continue;
        }
        let text = String::from_utf8(bytes[end + 4..].to_vec()).ok()?;
        return Some(Asked {
            path,
            headers,
            text,
        });
    }
}

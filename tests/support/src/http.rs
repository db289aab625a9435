//! The smallest HTTP/1.1 client that can also say what a proper one refuses to say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use switchboard_kit::twilio::signature::{SIGNATURE_HEADER, sign};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ACCOUNT, AUTH_TOKEN, PUBLIC, SOON};

/// A request, header by header.
#[derive(Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// From the first byte sent to the last one read.
    pub took: Duration,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// A form post without a signature.
    pub fn form(path: &str, fields: &[(&str, &str)]) -> Self {
        Self::new("POST", path)
            .header(
                "Content-Type",
                "application/x-www-form-urlencoded; charset=UTF-8",
            )
            .body(form(fields))
    }

    /// A form post as Twilio signs it.
    pub fn signed(path: &str, fields: &[(&str, &str)]) -> Self {
        let signature = sign(AUTH_TOKEN, &format!("{PUBLIC}{path}"), fields);
        Self::form(path, fields).header(SIGNATURE_HEADER, &signature)
    }

    pub async fn send(self, to: SocketAddr) -> Reply {
        let sent = tokio::time::timeout(SOON, self.exchange(to)).await;
        sent.expect("an answer in time")
    }

    async fn exchange(self, to: SocketAddr) -> Reply {
        let began = Instant::now();
        let mut stream = TcpStream::connect(to).await.unwrap();
        let mut head = format!(
            "{} {} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.method,
            self.path,
            self.body.len()
        );
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            head.push_str("Host: spa.example\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let (mut read, mut write) = stream.split();
        // A server that has heard enough may close before it has read everything.
        let speak = async {
            let _ = write.write_all(head.as_bytes()).await;
            let _ = write.write_all(&self.body).await;
        };
        let listen = async {
            let mut answer = Vec::new();
            let mut chunk = [0; 8_192];
            while let Ok(count @ 1..) = read.read(&mut chunk).await {
                answer.extend_from_slice(&chunk[..count]);
                if is_complete(&answer) {
                    break;
                }
            }
            answer
        };
        let ((), answer) = tokio::join!(speak, listen);
        Reply::parse(&answer, began.elapsed())
    }
}

/// Fields as a form body.
pub fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// Twilio's word that a call is over, for `/call-status`.
pub fn call_over(call_sid: &str) -> [(&str, &str); 3] {
    [
        ("AccountSid", ACCOUNT),
        ("CallSid", call_sid),
        ("CallStatus", "completed"),
    ]
}

/// The fields of a voice webhook.
pub fn ring<'a>(call_sid: &'a str, from: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("AccountSid", ACCOUNT),
        ("CallSid", call_sid),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", from),
        ("To", "+15550100"),
    ]
}

fn head_end(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}

fn is_complete(answer: &[u8]) -> bool {
    let Some(end) = head_end(answer) else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + length)
}

impl Reply {
    fn parse(answer: &[u8], took: Duration) -> Self {
        let end = head_end(answer).expect("a whole answer");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self {
            status: status.parse().unwrap(),
            headers,
            body: answer[end..].to_vec(),
            took,
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }
}

/// Metrics in the Prometheus text format.
#[derive(Debug, Clone, Default)]
pub struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    pub fn read(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect();
        Self(samples)
    }

    /// A sample by its name with labels, as written; 0 if it is not there.
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The samples a family has, by their names with labels.
    pub fn names(&self, family: &str) -> Vec<&str> {
        let of_family = |name: &&str| {
            name.strip_prefix(family)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        };
        self.0
            .keys()
            .map(String::as_str)
            .filter(of_family)
            .collect()
    }

    /// The sum over a family's samples.
    pub fn sum(&self, family: &str) -> f64 {
        self.names(family).iter().map(|name| self.get(name)).sum()
    }

    /// Violations of a protocol by peer and kind.
    pub fn violations(&self, peer: &str, kind: &str) -> f64 {
        self.get(&format!(
            "switchboard_protocol_violations_total{{kind=\"{kind}\",peer=\"{peer}\"}}"
        ))
    }
}

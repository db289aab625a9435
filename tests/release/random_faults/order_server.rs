//! The world outside in which tools have effects: orders with numbers, made of a server that fails at times.
//!
//! I3: the model takes a number first and orders with it, so that a number is one wish, whoever asks for it how often.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use test_support::child::run;
use test_support::tool_server::{Asked, read};

#[derive(Default)]
struct Books {
    dice: Rng,
    numbers: u64,
    /// Orders made, by number; this server makes whatever it is asked to.
    charges: BTreeMap<u64, u32>,
    /// Notes made, by number; this one makes a key once.
    notes: BTreeMap<u64, u32>,
    keys: BTreeSet<String>,
    asked: u64,
    failed: u64,
}

/// The server; ends with the test.
pub(crate) struct OrderServer {
    pub(crate) address: SocketAddr,
    books: Arc<Mutex<Books>>,
    task: JoinHandle<()>,
}

impl Drop for OrderServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What goes wrong with one request.
enum Misbehaviour {
    None,
    /// Not done, and said so.
    Refuses,
    /// Done late.
    Slow(u64),
    /// Done, and the connection is closed without a word.
    Mute,
    /// Done, and never answered.
    Hangs,
}

impl OrderServer {
    pub(crate) async fn open(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let books = Arc::new(Mutex::new(Books {
            dice: Rng::with_seed(seed),
            ..Books::default()
        }));
        let kept = books.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, kept.clone()));
            }
        });
        Self {
            address,
            books,
            task,
        }
    }

    /// Orders and notes made in all, or which of them were made twice.
    pub(crate) fn once(&self) -> Result<String, String> {
        let books = self.books.lock().unwrap();
        for (what, made) in [("order", &books.charges), ("note", &books.notes)] {
            if let Some((number, times)) = made.iter().find(|(_, times)| **times > 1) {
                return Err(format!("I3: {what} {number} was made {times} times"));
            }
        }
        Ok(format!(
            "{} orders and {} notes made of {} requests, {} of which failed",
            books.charges.len(),
            books.notes.len(),
            books.asked,
            books.failed
        ))
    }
}

impl Books {
    fn take(&mut self, asked: &Asked) -> (Misbehaviour, Value) {
        self.asked += 1;
        let misbehaves = match self.dice.u8(0..20) {
            0 => Misbehaviour::Refuses,
            1 | 2 => Misbehaviour::Slow(self.dice.u64(500..2_500)),
            3 => Misbehaviour::Mute,
            4 => Misbehaviour::Hangs,
            _ => Misbehaviour::None,
        };
        self.failed += u64::from(!matches!(misbehaves, Misbehaviour::None));
        if matches!(misbehaves, Misbehaviour::Refuses) {
            return (misbehaves, Value::Null);
        }
        let number = asked.json()["arguments"]["number"].as_u64();
        match (asked.path.as_str(), number) {
            ("/charge", Some(number)) => *self.charges.entry(number).or_default() += 1,
            ("/note", Some(number)) => {
                if self.keys.insert(asked.header("idempotency-key").to_owned()) {
                    *self.notes.entry(number).or_default() += 1;
                }
            }
            _ => {
                self.numbers += 1;
                return (misbehaves, json!({"number": self.numbers}));
            }
        }
        (misbehaves, json!({"done": number}))
    }
}

async fn serve(mut socket: TcpStream, books: Arc<Mutex<Books>>) {
    let Some(asked) = read(&mut socket).await else {
        return;
    };
    let (misbehaves, body) = books.lock().unwrap().take(&asked);
    let status = match misbehaves {
        Misbehaviour::None => 200,
        Misbehaviour::Refuses => 500,
        Misbehaviour::Slow(ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            200
        }
        Misbehaviour::Mute => return,
        Misbehaviour::Hangs => {
            // Longer than anybody waits.
            tokio::time::sleep(Duration::from_secs(30)).await;
            return;
        }
    };
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status} So\r\nContent-Length: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // The client may have gone.
    let _ = socket.write_all(answer.as_bytes()).await;
}

/// Appointments in the book, or who has two at the same time.
pub(crate) fn booked_once(variables: &BTreeMap<String, String>) -> Result<usize, String> {
    let output = run(&["book", "list", "--json", "--all"], variables);
    assert!(output.status.success(), "{output:?}");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let appointments = list["appointments"].as_array().unwrap();
    let mut taken = BTreeSet::new();
    for appointment in appointments {
        for who in ["number", "therapist"] {
            let name = appointment[who].as_str();
            let name = name.unwrap_or_else(|| panic!("no {who} in {appointment}"));
            let place = (who, name.to_owned(), appointment["begins"].to_string());
            if !taken.insert(place) {
                return Err(format!(
                    "I3: {name} has two appointments at once: {appointment}"
                ));
            }
        }
    }
    Ok(appointments.len())
}

/// The book is where the calls are.
pub(crate) fn book_of(folder: &Path) -> bool {
    folder.join("book.sqlite").exists()
}

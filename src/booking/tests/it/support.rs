//! A book in a folder of its own, and a phone to talk to it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use appointment_book::{Asker, Book, CallContext, FILE, Identify};
use jiff::Timestamp;
use serde_json::Value;

/// A Sunday, four in the afternoon in Berlin.
pub(crate) const NOW: &str = "2026-11-22T15:00:00Z";

/// Anna's phone.
pub(crate) const ANNA: &str = "+15550142";
/// Somebody else's.
pub(crate) const BERT: &str = "+15550143";

/// Anna's call.
pub(crate) const fn anna() -> Asker<'static> {
    caller(ANNA)
}

/// Somebody who calls from `number`.
pub(crate) const fn caller(number: &str) -> Asker<'_> {
    Asker::Caller {
        number: Some(number),
        call: number,
        identify: Identify::NumberAndName,
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A book that goes with its folder when the test is over.
pub(crate) struct Shelf {
    pub(crate) folder: PathBuf,
    pub(crate) book: Book,
}

impl Shelf {
    /// The spa a fresh machine begins with.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("switchboard-book-{}-{number}", std::process::id()));
        let book = Book::open(folder.join(FILE)).unwrap();
        Self { folder, book }
    }

    /// Another house.
    pub(crate) fn with(house: &str) -> Self {
        let shelf = Self::new();
        shelf.book.import(house, at(NOW)).unwrap();
        shelf
    }

    /// Anna's call, without a key.
    pub(crate) fn anna(&self, tool: &str, arguments: Value) -> Value {
        self.call(Some(ANNA), tool, arguments)
    }

    /// Somebody's call; each number has one.
    pub(crate) fn call(&self, caller: Option<&str>, tool: &str, arguments: Value) -> Value {
        let call = caller.unwrap_or("withheld");
        self.ask(caller, call, Identify::default(), at(NOW), tool, arguments)
    }

    /// The same with a call of its own, under another rule, at another time.
    pub(crate) fn ask(
        &self,
        number: Option<&str>,
        call: &str,
        identify: Identify,
        now: Timestamp,
        tool: &str,
        arguments: Value,
    ) -> Value {
        let context = CallContext {
            asker: Asker::Caller {
                number,
                call,
                identify,
            },
            now,
            idempotency_key: None,
        };
        self.book.call(tool, &arguments, &context)
    }

    pub(crate) fn keyed(&self, key: &str, tool: &str, arguments: &Value) -> Value {
        let context = CallContext {
            asker: anna(),
            now: at(NOW),
            idempotency_key: Some(key),
        };
        self.book.call(tool, arguments, &context)
    }

    /// All appointments that stand.
    pub(crate) fn standing(&self) -> Vec<appointment_book::Appointment> {
        let mut all = self
            .book
            .appointments(Timestamp::UNIX_EPOCH, Timestamp::MAX)
            .unwrap();
        all.retain(|appointment| appointment.state == appointment_book::State::Booked);
        all
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The sentence of an answer that says no.
pub(crate) fn refusal(answer: &Value) -> &str {
    answer["error"]
        .as_str()
        .unwrap_or_else(|| panic!("not refused: {answer}"))
}

/// The therapists and rooms that two standing appointments have at the same time.
pub(crate) fn double_bookings(standing: &[appointment_book::Appointment]) -> usize {
    let mut found = 0;
    for (index, one) in standing.iter().enumerate() {
        for other in &standing[index + 1..] {
            let together = one.begins < other.ends && other.begins < one.ends;
            found += usize::from(
                together && (one.therapist == other.therapist || one.room == other.room),
            );
        }
    }
    found
}

//! A book in a folder of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use appointment_book::{Appointment, Asker, Book, CallContext, FILE, Identify, State};
use jiff::Timestamp;
use serde_json::Value;

/// A Sunday, four in the afternoon in Berlin.
pub(crate) const NOW: &str = "2026-11-22T15:00:00Z";

/// Anna's call.
pub(crate) const fn anna() -> Asker<'static> {
    let number = "+15550142";
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
            std::env::temp_dir().join(format!("switchboard-desk-{}-{number}", std::process::id()));
        let book = Book::open(folder.join(FILE)).unwrap();
        Self { folder, book }
    }

    /// All appointments that stand.
    pub(crate) fn standing(&self) -> Vec<Appointment> {
        let all = self
            .book
            .appointments(Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let mut all = all.unwrap();
        all.retain(|appointment| appointment.state == State::Booked);
        all
    }

    /// Anna's call.
    pub(crate) fn anna(&self, tool: &str, arguments: Value) -> Value {
        let context = CallContext {
            asker: anna(),
            now: at(NOW),
            idempotency_key: None,
        };
        self.book.call(tool, &arguments, &context)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

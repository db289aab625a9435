//! Any file the desk imports, service or calendar, is taken or refused; the book can be written out afterwards.
use std::sync::LazyLock;

use appointment_book::Book;
use jiff::Timestamp;

static BOOK: LazyLock<Book> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("desk-{}.sqlite", std::process::id()));
    let _ = std::fs::remove_file(&path);
    Book::open(path).expect("a new book")
});

/// What the target does with an input.
pub(crate) fn run(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let now = Timestamp::from_second(1_795_000_000).expect("a day of 2026");
    if BOOK.import(text, now).is_ok() {
        let written = BOOK
            .export(Timestamp::MIN, Timestamp::MAX, now)
            .expect("what stands can be written");
        // A calendar without entries is refused, wherever it comes from.
        if written.contains("BEGIN:VEVENT") {
            BOOK.import(&written, now)
                .expect("what was written can be read");
        }
    }
}

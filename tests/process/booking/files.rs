//! What the desk is told of a book's file that is new or no book.

use std::fs::{self, File};
use std::path::Path;
use std::process::Output;

use appointment_book::{Book, FILE};
use rusqlite::Connection;

use super::desk::desk;
use super::support::Shelf;

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What stands at the path when a command opens it, and the sentence that says why it does not.
#[test]
fn a_file_that_is_no_book_is_refused_in_a_sentence() {
    type Make = fn(&Path);
    let files: [(Make, &[&str]); 5] = [
        (
            |path| {
                let tables = Connection::open(path).unwrap();
                tables.execute_batch("CREATE TABLE notes (words)").unwrap();
            },
            &[
                "has tables, but not those of an appointment book",
                "move it away",
            ],
        ),
        (
            |path| {
                drop(Book::open(path).unwrap());
                let newer = Connection::open(path).unwrap();
                newer.pragma_update(None, "user_version", 99).unwrap();
            },
            &["has version 99", "use the newer switchboard"],
        ),
        (
            |path| fs::write(path, "no tables ".repeat(900)).unwrap(),
            &[
                "is damaged (file is not a database)",
                "put a backup in its place",
            ],
        ),
        (
            |path| {
                drop(Book::open(path).unwrap());
                let file = File::options().write(true).open(path).unwrap();
                file.set_len(file.metadata().unwrap().len() / 8192 * 4096)
                    .unwrap();
            },
            &["is damaged (", "put a backup in its place"],
        ),
        (
            |path| fs::create_dir(path).unwrap(),
            &["cannot make", "what is there is no file"],
        ),
    ];
    for (make, words) in files {
        let shelf = Shelf::new();
        let folder = shelf.folder.join("data");
        fs::create_dir(&folder).unwrap();
        make(&folder.join(FILE));
        let output = desk(&folder, &["list"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for words in words {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(
            said.contains(&folder.join(FILE).display().to_string()),
            "{said}"
        );
        assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {said}");
        println!("{}", said.trim_end());
    }
}

#[test]
fn a_new_book_is_told_at_the_desk_and_an_old_one_is_not() {
    let shelf = Shelf::new();
    let folder = shelf.folder.join("data");
    let first = desk(&shelf.folder, &["list"]);
    assert_eq!(said(&first), "");
    fs::create_dir(&folder).unwrap();
    let new = desk(&folder, &["list"]);
    let begun = format!(
        "a new appointment book is begun: {}",
        folder.join(FILE).display()
    );
    assert!(said(&new).contains(&begun), "{}", said(&new));
    assert_eq!(said(&desk(&folder, &["list"])), "");
}

//! `switchboard book`: the appointment book for people at the desk.

mod table;

use std::io::{Read as _, Write as _};
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::{self, BookAction, Exit, complain};
use crate::settings::Data;
use appointment_book::{Appointment, Asker, BookError, CallContext, State};

/// A larger file is not a calendar of a house.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What a command came to: text for people, JSON for scripts.
struct Told {
    people: String,
    scripts: Value,
}

/// Why a command came to nothing.
enum Problem {
    /// What was asked cannot be; the answer for scripts.
    Asked(String, Value),
    /// What was asked is fine, and it did not work.
    Failed(String, Value),
}

impl From<BookError> for Problem {
    fn from(error: BookError) -> Self {
        Self::failed(error)
    }
}

impl Problem {
    fn asked(sentence: impl std::fmt::Display) -> Self {
        let sentence = sentence.to_string();
        Self::Asked(sentence.clone(), json!({ "error": sentence }))
    }

    fn failed(sentence: impl std::fmt::Display) -> Self {
        let sentence = sentence.to_string();
        Self::Failed(sentence.clone(), json!({ "error": sentence }))
    }
}

/// Runs `book` on the book in a data directory.
#[must_use]
pub fn run(arguments: &cli::Book, data: &Data, now: Timestamp) -> Exit {
    let done = carry_out(
        &arguments.action,
        &data.dir.join(appointment_book::FILE),
        now,
    );
    let (exit, sentence, scripts) = match done {
        Ok(told) if arguments.json => (Exit::Done, None, Some(told.scripts)),
        Ok(told) => {
            // A reader that has seen enough (`book list | head -1`) is nobody's trouble.
            let _ = std::io::stdout().write_all(told.people.as_bytes());
            return Exit::Done;
        }
        Err(Problem::Asked(sentence, scripts)) => (Exit::Usage, Some(sentence), Some(scripts)),
        Err(Problem::Failed(sentence, scripts)) => (Exit::Failed, Some(sentence), Some(scripts)),
    };
    if let Some(scripts) = scripts.filter(|_| arguments.json) {
        let _ = writeln!(std::io::stdout(), "{scripts:#}");
    }
    if let Some(sentence) = sentence {
        let _ = complain(sentence);
    }
    exit
}

fn carry_out(action: &BookAction, path: &Path, now: Timestamp) -> Result<Told, Problem> {
    let book = appointment_book::Book::open(path)?;
    if book.is_new() {
        // Standard error may be closed.
        let _ = complain(format_args!(
            "a new appointment book is begun: {}",
            path.display()
        ));
    }
    match action {
        BookAction::List(list) => show(&book, list, now),
        BookAction::Add(add) => enter(&book, add, now),
        BookAction::Cancel(cancel) => match book.cancel(&cancel.code, now)? {
            Some(cancelled) => one("cancelled", &book, cancelled),
            None => {
                let sentence = format!(
                    "no coming appointment has the code {}; see switchboard book list",
                    cancel.code
                );
                Err(Problem::failed(sentence))
            }
        },
        BookAction::Import(import) => take_in(&book, &import.file, now),
        BookAction::Export(export) => give_out(&book, export, now),
    }
}

fn show(
    book: &appointment_book::Book,
    list: &cli::BookList,
    now: Timestamp,
) -> Result<Told, Problem> {
    let said = list.day.as_deref().unwrap_or("today");
    let (from, to) = book.day(said, now).map_err(|error| match error {
        BookError::Venue(sentence) => Problem::asked(format!("--day {sentence}")),
        error => error.into(),
    })?;
    let to = if list.day.is_some() {
        to
    } else {
        Timestamp::MAX
    };
    let mut found = book.appointments(from, to)?;
    found.retain(|appointment| list.all || appointment.state != State::Cancelled);
    Ok(Told {
        people: table::of(&found, book.venue()?.zone()),
        scripts: json!({ "appointments": found }),
    })
}

fn enter(
    book: &appointment_book::Book,
    add: &cli::BookAdd,
    now: Timestamp,
) -> Result<Told, Problem> {
    let mut wish = json!({
        "service": add.service, "day": add.day, "time": add.time, "name": add.name, "phone": add.phone,
    });
    if let Some(therapist) = &add.therapist {
        wish["therapist"] = json!(therapist);
    }
    let context = CallContext {
        asker: Asker::Desk,
        now,
        idempotency_key: None,
    };
    let answer = book.call("book_appointment", &wish, &context);
    let Some(sentence) = answer["error"].as_str() else {
        let code = answer["booked"]["code"].as_str().unwrap_or_default();
        let booked = book
            .by_code(code)?
            .ok_or_else(|| Problem::failed("the appointment is gone again"))?;
        return one("booked", book, booked);
    };
    match answer.get("other_times").and_then(Value::as_array) {
        // The question was fine; the time is not to be had.
        Some(others) => {
            let others: Vec<&str> = others
                .iter()
                .filter_map(|other| other["when"].as_str())
                .collect();
            let instead = if others.is_empty() {
                String::new()
            } else {
                format!(" Free: {}.", others.join("; "))
            };
            Err(Problem::Failed(
                format!("{sentence}{instead}"),
                answer.clone(),
            ))
        }
        None => Err(Problem::Asked(sentence.to_owned(), answer.clone())),
    }
}

fn one(
    what: &str,
    book: &appointment_book::Book,
    appointment: Appointment,
) -> Result<Told, Problem> {
    let people = format!(
        "{what}:\n{}",
        table::of(std::slice::from_ref(&appointment), book.venue()?.zone())
    );
    Ok(Told {
        people,
        scripts: json!({ what: appointment }),
    })
}

fn take_in(book: &appointment_book::Book, file: &Path, now: Timestamp) -> Result<Told, Problem> {
    let named = file.display();
    let text =
        read(file).map_err(|error| Problem::asked(format!("cannot read {named}: {error}")))?;
    let imported = match book.import(&text, now) {
        Ok(imported) => imported,
        Err(BookError::Venue(problem)) => {
            return Err(Problem::asked(format!("{named}: {problem}")));
        }
        Err(BookError::Calendar(refused)) => {
            let sentence = format!("{named}: {refused}");
            let scripts = json!({ "error": sentence, "refused": refused });
            return Err(Problem::Asked(sentence, scripts));
        }
        Err(error) => return Err(error.into()),
    };
    let people = if imported.venue {
        format!("the house is now {}\n", book.venue()?.name)
    } else {
        let mut told = format!(
            "{} new, {} changed, {} unchanged, {} removed, {} refused; {} days closed, {} opened\n",
            imported.new,
            imported.changed,
            imported.unchanged,
            imported.removed,
            imported.refused,
            imported.closed_days,
            imported.opened_days
        );
        if !imported.left_out.is_empty() {
            let left_out = imported.left_out.iter();
            let left_out: Vec<_> = left_out
                .map(|(name, times)| format!("{name} {times}"))
                .collect();
            told.push_str(&format!("left out: {}\n", left_out.join(", ")));
        }
        told
    };
    Ok(Told {
        people,
        scripts: json!({ "imported": imported }),
    })
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let most = MOST_BYTES + 1;
    let length = match file.to_str() {
        Some("-") => std::io::stdin().take(most).read_to_string(&mut text)?,
        _ => std::fs::File::open(file)?
            .take(most)
            .read_to_string(&mut text)?,
    };
    if length as u64 == most {
        return Err(std::io::Error::other(format!(
            "it has more than {MOST_BYTES} bytes"
        )));
    }
    Ok(text)
}

fn give_out(
    book: &appointment_book::Book,
    export: &cli::BookExport,
    now: Timestamp,
) -> Result<Told, Problem> {
    let (from, to) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
    let (text, scripts) = if export.house {
        let venue = serde_json::to_value(book.venue()?).map_err(Problem::failed)?;
        (format!("{venue:#}\n"), venue)
    } else {
        (
            book.export(from, to, now)?,
            json!({ "appointments": book.appointments(from, to)? }),
        )
    };
    let Some(out) = &export.out else {
        return Ok(Told {
            people: text,
            scripts,
        });
    };
    let written = std::fs::write(out, &text);
    written.map_err(|error| Problem::failed(format!("cannot write {}: {error}", out.display())))?;
    Ok(Told {
        people: format!("written to {}\n", out.display()),
        scripts: json!({ "written": out }),
    })
}

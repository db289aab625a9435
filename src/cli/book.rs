//! Flags of `book`, the appointment book at the desk.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Flags of `book`. It needs the data directory only, and works while the service runs.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Book {
    /// What to do.
    #[command(subcommand)]
    pub action: BookAction,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with the book.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum BookAction {
    /// Show the coming appointments
    List(BookList),
    /// Book an appointment
    Add(BookAdd),
    /// Cancel an appointment
    Cancel(BookCancel),
    /// Take a file in: appointments, closed days, or the whole house
    ///
    /// What the file is shows in how it begins.
    ///
    /// BEGIN:VCALENDAR is iCalendar. An entry with a time is an appointment: SUMMARY is "service: name", LOCATION the
    /// room, CONTACT the phone number, X-SWITCHBOARD-THERAPIST the therapist; without therapist or room somebody free
    /// is taken. One whose UID is known is changed, one with STATUS:CANCELLED cancelled; all others stay. An entry of
    /// whole days closes the house on these days.
    ///
    /// Anything else is the house, as TOML (or JSON, beginning with a brace): name, time zone, opening hours, closed
    /// days, services, therapists, rooms. It takes the place of the one before; appointments stay as they are.
    /// `book export --house` prints the present one.
    ///
    /// A file with a mistake changes nothing.
    #[command(verbatim_doc_comment)]
    Import(BookImport),
    /// Write all appointments as iCalendar
    Export(BookExport),
}

/// Flags of `book list`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct BookList {
    /// That day only: today, friday, 2026-11-23 [default: everything from today on]
    #[arg(long, value_name = "DAY")]
    pub day: Option<String>,
    /// Cancelled appointments, too
    #[arg(long)]
    pub all: bool,
}

/// Flags of `book add`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct BookAdd {
    /// The treatment
    #[arg(long, value_name = "NAME")]
    pub service: String,
    /// The day: today, friday, 2026-11-23
    #[arg(long, value_name = "DAY")]
    pub day: String,
    /// The time: 15:30
    #[arg(long, value_name = "TIME")]
    pub time: String,
    /// The customer's name
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The customer's phone number
    #[arg(long, value_name = "NUMBER")]
    pub phone: String,
    /// The therapist [default: somebody free]
    #[arg(long, value_name = "NAME")]
    pub therapist: Option<String>,
}

/// Flags of `book cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct BookCancel {
    /// The confirmation code
    #[arg(value_name = "CODE")]
    pub code: String,
}

/// Flags of `book import`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct BookImport {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Flags of `book export`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct BookExport {
    /// Where to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The house as JSON, for `book import`, instead of the appointments
    #[arg(long)]
    pub house: bool,
}

//! Every key of the settings, and what is seen of it: by what a session is asked for, by what a scripted call does, or by
//! a test that meets it from outside. A key without a row fails, and so does a row whose two values make no difference.
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod fixture;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::settings::{Settings, keys};

/// How a key is seen.
pub(crate) enum Shown {
    /// These lines and those ask a session for something else.
    Asked(&'static str, &'static str),
    /// With these lines and those the same events make the call do something else, besides what a session is asked for.
    Done(&'static str, &'static str),
    /// A test of this file shows it, and speaks of it by this word.
    Seen(&'static str, &'static str, &'static str),
}

/// Where the settings' files are taken to be: with two clips, two texts and a key in it.
fn folder() -> PathBuf {
    static FOLDER: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("switchboard-keys-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, ms) in [("short.wav", 700), ("long.wav", 3_000)] {
            let audio = vec![0x70; ms * 8];
            switchboard_kit::twilio::wav::write_mono_file(folder.join(name), &audio).unwrap();
        }
        std::fs::write(folder.join("one.md"), "You are one.").unwrap();
        std::fs::write(folder.join("other.md"), "You are another.").unwrap();
        folder
    });
    folder.clone()
}

/// The settings with these lines in the place of `agent's own`.
fn settings(lines: &str) -> Settings {
    let instructions = if lines.contains("instructions") {
        ""
    } else {
        "instructions = \"You answer.\"\n"
    };
    let toml = format!("[agents.spa]\n{instructions}{lines}\n");
    read(&toml).unwrap_or_else(|error| panic!("{toml}: {error}"))
}

fn read(toml: &str) -> Result<Settings, String> {
    let environment: BTreeMap<String, String> = [
        ("SWITCHBOARD_DEV", "1"),
        ("SWITCHBOARD_LISTEN", "127.0.0.1:0"),
        ("SWITCHBOARD_ADMIN_LISTEN", "127.0.0.1:0"),
        ("OPENAI_REALTIME_URL", "ws://127.0.0.1:9/v1/realtime"),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into();
    let path = folder().join("switchboard.toml");
    Settings::from_toml(toml, &path, &environment).map_err(|error| error.to_string())
}

/// The keys that may stand in a table, as the refusal of one that may not names them.
fn members(head: &str) -> Vec<String> {
    let (before, after) = head.split_once('|').unwrap_or((head, ""));
    let refusal = read(&format!("{before}zzzzzzzz = 1{after}\n")).err();
    let refusal = refusal.unwrap_or_else(|| panic!("{head} takes everything"));
    let (_, names) = refusal
        .split_once("or use one of ")
        .unwrap_or_else(|| panic!("{head}: {refusal}"));
    names
        .trim_end_matches('.')
        .split(", ")
        .map(str::to_owned)
        .collect()
}

/// Every key of the file, `*` for a name of one's own.
fn every_key() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<(String, String)> = vec![(String::new(), String::new())];
    while let Some((path, head)) = open.pop() {
        for member in members(&head) {
            let path = if path.is_empty() {
                member.clone()
            } else {
                format!("{path}.{member}")
            };
            match table::TABLES.iter().find(|(table, _)| *table == path) {
                Some((table, head)) if matches!(*table, "agents" | "tools") => {
                    open.push((format!("{table}.*"), (*head).to_owned()));
                }
                Some((table, head)) => open.push(((*table).to_owned(), (*head).to_owned())),
                None => {
                    found.insert(path);
                }
            }
        }
    }
    found
}

/// The keys of the file, and what the environment alone sets.
fn keys_of_this_version() -> BTreeSet<String> {
    let mut keys = every_key();
    keys.extend(keys::DEFAULTS.iter().map(|key| {
        let variable = key.env.first().copied().unwrap_or_default();
        if key.key.is_empty() {
            variable
        } else {
            key.key
        }
        .to_owned()
    }));
    keys
}

#[test]
fn no_key_is_without_a_row() {
    let keys = keys_of_this_version();
    let rows: BTreeSet<String> = table::ROWS
        .iter()
        .map(|(key, _)| (*key).to_owned())
        .collect();
    assert_eq!(rows.len(), table::ROWS.len(), "a key has two rows");
    let missing: Vec<&String> = keys.difference(&rows).collect();
    assert!(
        missing.is_empty(),
        "these keys have no row in {}: {missing:?}",
        file!()
    );
    println!("{} keys, each with a row", keys.len());
}

#[test]
fn every_row_makes_a_difference_or_names_the_test_that_sees_one() {
    let mut silent = Vec::new();
    let keys = keys_of_this_version();
    for (key, shown) in table::ROWS {
        if !keys.contains(*key) {
            // Of a version that is yet to come.
            continue;
        }
        let is_shown = match shown {
            Shown::Asked(one, other) => {
                fixture::asked(&settings(one)) != fixture::asked(&settings(other))
            }
            Shown::Done(one, other) => {
                fixture::done(&settings(one)) != fixture::done(&settings(other))
            }
            Shown::Seen(file, test, word) => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                text.contains(&format!("fn {test}(")) && text.contains(word)
            }
        };
        if !is_shown {
            silent.push(*key);
        }
    }
    assert_eq!(silent, Vec::<&str>::new(), "set, and nothing is seen of it");
}

#[test]
fn the_same_settings_do_the_same_twice() {
    // Else every difference above would prove nothing.
    let lines = "greeting = { text = \"Greet.\" }";
    assert_eq!(
        fixture::asked(&settings(lines)),
        fixture::asked(&settings(lines))
    );
    let once = fixture::done(&settings(lines));
    assert_eq!(once, fixture::done(&settings(lines)));
    assert!(once.len() > 20, "{once:#?}");
}

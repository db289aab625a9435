//! Dependencies run one way, within packages too: what the production code names is held against the arrows.

mod rules;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use rules::{ARROWS, NEVER, OWED};
use source::Named;

/// Where the packages' code is, by the names of their libraries.
const PACKAGES: &[(&str, &str)] = &[
    ("switchboard", "src"),
    ("switchboard_actors", "actors/src"),
    ("call_protocol", "actors/protocol/src"),
    ("appointment_book", "src/booking"),
    ("switchboard_base", "src/base"),
    ("switchboard_kit", "tests/kit/src"),
];

/// An import that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Broken {
    file: String,
    line: usize,
    rule: String,
    path: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            rule,
            path,
        } = self;
        write!(out, "{file}:{line}: {path}: {rule}")
    }
}

/// A file of a package, as it is read.
struct File {
    path: String,
    module: String,
    text: String,
}

/// Whether a module is in an area.
fn is_in(module: &str, area: &str) -> bool {
    let rest = module.strip_prefix(area);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The smallest area a path is in.
fn area(path: &str) -> Option<&'static str> {
    let areas = ARROWS.iter().map(|(area, _)| *area);
    areas
        .filter(|area| is_in(path, area))
        .max_by_key(|area| area.len())
}

/// Everything an area may import.
fn reached(from: &'static str) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::from([from]);
    let mut due = vec![from];
    while let Some(area) = due.pop() {
        let arrows = ARROWS.iter().filter(|(of, _)| *of == area);
        for to in arrows.flat_map(|(_, to)| to.iter().copied()) {
            if reached.insert(to) {
                due.push(to);
            }
        }
    }
    reached
}

/// Which rule an import breaks, if it breaks one.
fn rule_against(module: &str, path: &str) -> Option<String> {
    let any = |areas: &[&str], module: &str| areas.iter().any(|area| is_in(module, area));
    let never = NEVER.iter().find(|never| {
        let is_meant = any(never.what, path) && !any(never.open, path);
        is_meant && any(never.who, module) && !any(never.but, module)
    });
    if let Some(never) = never {
        return Some(never.rule.to_owned());
    }
    let package = path.split("::").next().unwrap_or_default();
    if !PACKAGES.iter().any(|(name, _)| *name == package) || module == package {
        return None;
    }
    let Some(from) = area(module) else {
        return Some("its module is in no area, give it one".to_owned());
    };
    let to = area(path).unwrap_or(package);
    (!reached(from).contains(to)).then(|| format!("{from} does not import {to}"))
}

/// The module of a file below the root of its package.
fn module_of(package: &str, below: &Path) -> String {
    let below = below.with_extension("");
    let names = below.iter().map(|name| name.to_str().unwrap());
    let names = names.filter(|name| !matches!(*name, "lib" | "mod"));
    std::iter::once(package)
        .chain(names)
        .collect::<Vec<_>>()
        .join("::")
}

/// Every Rust file of the packages. One package may lie in a folder of another.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for (package, folder) in PACKAGES {
        let folder = root.join(folder);
        let mut due = vec![folder.clone()];
        while let Some(path) = due.pop() {
            if path.is_dir() {
                let is_other = |path: &PathBuf| path.join("Cargo.toml").exists();
                let entries = std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path());
                due.extend(entries.filter(|path| !is_other(path) && !path.ends_with("tests")));
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(File {
                    path: path
                        .strip_prefix(root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                    module: module_of(package, path.strip_prefix(&folder).unwrap()),
                    text: std::fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    files
}

/// Names that the roots of packages give to what is below them, and what these are in full.
fn names_at_roots(files: &[File], modules: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for root in files.iter().filter(|file| !file.module.contains("::")) {
        for named in source::read(&root.module, &root.text, modules).named {
            if let Some((_, name)) = named.path.rsplit_once("::") {
                names.insert(format!("{}::{name}", root.module), named.path);
            }
        }
    }
    names
}

/// What of the files is not allowed.
fn broken(files: &[File]) -> BTreeSet<Broken> {
    let modules: BTreeSet<String> = files.iter().map(|file| file.module.clone()).collect();
    let at_roots = names_at_roots(files, &modules);
    let sources = files
        .iter()
        .map(|file| source::read(&file.module, &file.text, &modules));
    let sources: Vec<source::Source> = sources.collect();
    let of_tests: Vec<&String> = sources
        .iter()
        .flat_map(|source| &source.test_modules)
        .collect();
    let is_of_tests = |file: &File| {
        file.path.ends_with("_tests.rs") || of_tests.iter().any(|test| is_in(&file.module, test))
    };
    let mut broken = BTreeSet::new();
    for (file, source) in files
        .iter()
        .zip(&sources)
        .filter(|(file, _)| !is_of_tests(file))
    {
        for Named { line, path } in &source.named {
            let path = at_roots.get(path).unwrap_or(path);
            if let Some(rule) = rule_against(&file.module, path) {
                broken.insert(Broken {
                    file: file.path.clone(),
                    line: *line,
                    rule,
                    path: path.clone(),
                });
            }
        }
    }
    broken
}

/// The rule and the file of everything that is owed.
fn owed() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_rule = |(rule, files): &(&'static str, &'static [&'static str])| {
        let rule = *rule;
        files.iter().map(move |file| (rule, *file))
    };
    OWED.iter().flat_map(of_rule)
}

#[test]
fn every_import_follows_an_arrow() {
    let owed: Vec<_> = owed().collect();
    let is_owed = |broken: &&Broken| owed.contains(&(broken.rule.as_str(), broken.file.as_str()));
    let broken = broken(&files());
    let new = broken.iter().filter(|broken| !is_owed(broken));
    let new: Vec<String> = new.map(Broken::to_string).collect();
    assert!(new.is_empty(), "not allowed:\n{}", new.join("\n"));
}

#[test]
fn what_is_mended_is_owed_no_more() {
    let broken = broken(&files());
    let is_broken = |(rule, file): &(&str, &str)| {
        let mut broken = broken.iter();
        broken.any(|broken| broken.rule == *rule && broken.file == *file)
    };
    let mended: Vec<_> = owed().filter(|owed| !is_broken(owed)).collect();
    assert!(mended.is_empty(), "take off the list: {mended:#?}");
}

/// What one file with this text would break.
fn broken_by(path: &str, module: &str, text: &str) -> Vec<String> {
    let file = |path: &str, module: &str, text: &str| File {
        path: path.to_owned(),
        module: module.to_owned(),
        text: text.to_owned(),
    };
    let others = ["switchboard::phone::twilio::twiml", "call_protocol::call"];
    let mut files: Vec<File> = others.iter().map(|module| file("", module, "")).collect();
    files.push(file(
        "",
        "call_protocol",
        "pub use call::{Call, event::Event};",
    ));
    files.push(file(path, module, text));
    broken(&files).iter().map(Broken::to_string).collect()
}

#[test]
fn an_arrow_that_is_turned_around_is_named_with_its_file_and_line() {
    let text = "//! A use case.\n\nuse std::sync::Arc;\n\nuse crate::agents::routing;\nuse crate::phone::twilio::twiml::Response;\n";
    assert_eq!(
        broken_by("src/calls/admit.rs", "switchboard::calls::admit", text),
        ["src/calls/admit.rs:6: switchboard::phone::twilio::twiml::Response: state knows no route"]
    );
    let text =
        "use crate::{\n    settings::Settings,\n    service::{\n        drain,\n    },\n};\n";
    assert_eq!(
        broken_by(
            "src/agents/routing.rs",
            "switchboard::agents::routing",
            text
        ),
        [
            "src/agents/routing.rs:4: switchboard::service::drain: switchboard::agents does not import switchboard::service"
        ]
    );
}

#[test]
fn a_path_is_found_however_it_is_written() {
    let in_model = |text: &str| broken_by("link.rs", "call_protocol::model::link", text);
    let found = ["link.rs:2: call_protocol::call::Call: the model knows no call"];
    for text in [
        "\nuse super::super::call::Call;",
        "\nfn end(call: &crate::call::Call) {}",
        "/* crate::phone\n*/ use crate::Call as Machine;",
        "mod inner {\nuse super::super::super::call::Call; }",
        "/// [`crate::call::state`]\nuse crate::call::{Call}; // crate::call::event",
    ] {
        assert_eq!(in_model(text), found, "{text}");
    }
    for text in [
        "//! [`Call`](crate::call::Call)",
        "const TEXT: &str = \"use crate::call::Call; \\\" crate::call::Call\";",
        "const TEXT: &str = r#\"\" crate::call::Call\"#;",
        "#[cfg(test)]\nmod tests { use crate::call::Call; }",
        "#[cfg(test)]\nuse crate::call::Call;\nfn life<'a>(x: &'a str) -> char { '\"' }",
    ] {
        assert_eq!(in_model(text), [""; 0], "{text}");
    }
}

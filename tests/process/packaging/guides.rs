//! The guides: short where a reader begins, their links lead somewhere, and the tests they name exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::support::read;

/// Every guide.
const GUIDES: [&str; 6] = [
    "README.md",
    "tests/README.md",
    "src/booking/README.md",
    "src/agents/README.md",
    "docker/README.md",
    ".github/CONTRIBUTING.md",
];

/// Folders with tests.
const TESTS: [&str; 2] = ["tests", "actors/protocol/tests"];

/// The anchors that GitHub gives a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let mut anchors = BTreeSet::new();
    for line in page.lines() {
        in_code ^= line.starts_with("```");
        let heading = line
            .strip_prefix('#')
            .map(|rest| rest.trim_start_matches('#'));
        if let Some(heading) = heading.filter(|_| !in_code) {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            let anchor: String = heading.trim().to_lowercase().chars().filter(kept).collect();
            anchors.insert(anchor.replace(' ', "-"));
        }
    }
    anchors
}

/// The targets of a page's links.
fn links(page: &str) -> Vec<&str> {
    page.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// Whether a link of `guide` leads to a file, and to a heading if it names one.
fn leads_somewhere(guide: &str, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let here = Path::new(guide);
    let target = if path.is_empty() {
        here.to_owned()
    } else {
        here.parent().unwrap().join(path)
    };
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(&target);
    if anchor.is_empty() {
        return full.exists();
    }
    full.is_file() && anchors(&read(target.to_str().unwrap())).contains(anchor)
}

/// Every Rust file under a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// What a text names in backticks that stands in one of the project's folders.
fn named_files(text: &str) -> impl Iterator<Item = &str> {
    const FOLDERS: [&str; 4] = ["src/", "actors/", "tests/", "docker/"];
    let names = text.split('`').skip(1).step_by(2);
    names.filter(|name| {
        FOLDERS.iter().any(|folder| name.starts_with(folder)) && !name.contains([' ', '*', '{'])
    })
}

#[test]
fn the_files_that_guides_and_crate_docs_name_exist() {
    const CRATES: [&str; 3] = [
        "src/lib.rs",
        "actors/src/lib.rs",
        "actors/protocol/src/lib.rs",
    ];
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut named, mut missing) = (0, Vec::new());
    for page in GUIDES.iter().chain(&CRATES) {
        for line in read(page).lines() {
            for name in named_files(line) {
                named += 1;
                if !top.join(name).exists() {
                    missing.push(format!("{page}: {name}"));
                }
            }
        }
    }
    assert!(named > 40, "{named} files are named");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_readme_is_read_in_ten_minutes() {
    let readme = read("README.md");
    let (lines, bytes) = (readme.lines().count(), readme.len());
    assert!(
        lines <= 200 && bytes <= 14 * 1024,
        "{lines} lines, {bytes} bytes: move what is not for everybody"
    );
}

#[test]
fn every_link_of_the_guides_leads_somewhere() {
    let mut lost = Vec::new();
    let mut seen = 0;
    for guide in GUIDES {
        let page = read(guide);
        for link in links(&page) {
            if !link.contains("://") {
                seen += 1;
                if !leads_somewhere(guide, link) {
                    lost.push(format!("{guide}: {link}"));
                }
            }
        }
    }
    assert!(seen > 20 && lost.is_empty(), "of {seen} links: {lost:?}");
}

#[test]
fn every_test_that_a_guide_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in TESTS {
        sources(&root.join(folder), &mut files);
    }
    let code: String = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let page = read("tests/README.md");
    let rules = page.split("<!-- conversation -->").nth(1).unwrap();
    let rules = rules.split("<!-- /conversation -->").next().unwrap();
    let mut named = 0;
    for row in rules.lines().filter(|row| row.starts_with("| ")).skip(2) {
        let tests = row.split(" | ").nth(1).unwrap();
        for name in tests.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                continue;
            }
            named += 1;
            assert!(
                code.contains(&format!("fn {name}(")),
                "no test is called {name}"
            );
        }
    }
    assert!(named > 10, "{named}");
}

#[test]
fn every_file_that_contributing_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = read(".github/CONTRIBUTING.md");
    let (_, table) = page.split_once("| change | files |").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let mut named = 0;
    for name in table.split('`').skip(1).step_by(2) {
        if ["src/", "actors/"].iter().any(|top| name.starts_with(top)) {
            named += 1;
            assert!(root.join(name).exists(), "there is no {name}");
        }
    }
    assert!(named > 20, "{named}");
}

#[test]
fn the_licences_of_the_manifest_have_their_texts() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let licence = manifest["workspace"]["package"]["license"].as_str();
    assert_eq!(licence, Some("MIT OR Apache-2.0"));
    assert!(read("LICENSE-MIT").starts_with("MIT License"));
    assert!(read("LICENSE-APACHE").contains("Apache License"));
}

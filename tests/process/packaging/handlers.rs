//! What answers requests is short: a function of the public or the admin listener fits a glance.

use std::path::{Path, PathBuf};

/// Lines of a body.
const MOST_LINES: usize = 20;

/// Where requests are answered.
const FOLDERS: [&str; 2] = ["src/phone", "src/admin"];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// The functions of a text that rustfmt has written, each with the lines of its body.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let Some((before, rest)) = code.split_once("fn ") else {
            continue;
        };
        let is_one = before
            .split_whitespace()
            .all(|word| word.starts_with("pub") || ["async", "const"].contains(&word));
        let opens = |line: &&str| line.ends_with('{') || line.ends_with([';', '}']);
        let head = lines[place..].iter().position(opens);
        let Some(open) = head.map(|head| place + head).filter(|_| is_one) else {
            continue;
        };
        let end = format!("{indent}}}");
        let body = lines[open + 1..].iter().position(|line| *line == end);
        if let Some(body) = body.filter(|_| lines[open].ends_with('{')) {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            functions.push((name.to_owned(), body));
        }
    }
    functions
}

#[test]
fn no_function_of_a_handler_is_longer_than_twenty_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in FOLDERS {
        files(&root.join(folder), &mut paths);
    }
    let (mut seen, mut long) = (0, Vec::new());
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let functions = functions(code);
        seen += functions.len();
        let longer = functions.iter().filter(|(_, lines)| *lines > MOST_LINES);
        let shown = path.strip_prefix(root).unwrap().display();
        long.extend(longer.map(|(name, lines)| format!("{shown}: {name} has {lines} lines")));
    }
    assert!(seen > 100 && long.is_empty(), "of {seen}: {long:#?}");
}

#[test]
fn a_long_function_is_noticed() {
    let body = "    one();\n".repeat(21);
    let text = format!(
        "impl A {{\n    fn short(&self) {{}}\n}}\n\npub(crate) async fn long(\n    of: u8,\n) -> u8 {{\n{body}}}\n"
    );
    assert_eq!(functions(&text), [("long".to_owned(), 21)]);
}

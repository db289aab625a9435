//! Which paths the production code of a Rust file names. A reader of tokens: comments, texts and what is compiled for
//! tests alone do not count.

use std::collections::BTreeSet;

/// A path that a file names, in full.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) line: usize,
    /// Such as `switchboard::calls::resume::look`.
    pub(super) path: String,
}

/// What is read of a file.
#[derive(Default)]
pub(super) struct Source {
    pub(super) named: Vec<Named>,
    /// Modules it declares for tests alone.
    pub(super) test_modules: Vec<String>,
}

#[derive(Clone, Copy)]
struct Token<'t> {
    text: &'t str,
    line: usize,
}

/// Reads the file of `module`. `modules` are those that exist: a path may begin with the name of a child.
pub(super) fn read(module: &str, text: &str, modules: &BTreeSet<String>) -> Source {
    let mut source = Source::default();
    let tokens = without_tests(&tokens(text), module, &mut source.test_modules);
    let mut reader = Reader {
        tokens: &tokens,
        modules,
        scopes: vec![(0, module.to_owned())],
        named: BTreeSet::new(),
    };
    reader.run();
    source.named = reader.named.into_iter().collect();
    source
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => comment(rest),
            '"' => quoted(rest, 0),
            '\'' => character(rest),
            _ if is_word(first) => {
                let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let behind = &rest[word..];
                match &rest[..word] {
                    "r" | "br" | "cr" if behind.starts_with(['#', '"']) => word + raw(behind),
                    text => {
                        tokens.push(Token { text, line });
                        word
                    }
                }
            }
            _ if first.is_whitespace() => first.len_utf8(),
            _ => {
                let length = if rest.starts_with("::") {
                    2
                } else {
                    first.len_utf8()
                };
                tokens.push(Token {
                    text: &rest[..length],
                    line,
                });
                length
            }
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a block comment, others within it included.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of a text whose opening quote is at `open`.
fn quoted(text: &str, open: usize) -> usize {
    let quote = text.as_bytes()[open];
    let mut at = open + 1;
    while let Some(byte) = text.as_bytes().get(at) {
        at += if *byte == b'\\' { 2 } else { 1 };
        if *byte == quote {
            break;
        }
    }
    at
}

/// The length of a raw text, or of the sign before a raw name.
fn raw(text: &str) -> usize {
    let signs = text.find(|c| c != '#').unwrap_or(text.len());
    if !text[signs..].starts_with('"') {
        return signs;
    }
    let end = format!("\"{}", &text[..signs]);
    let body = signs + 1;
    text[body..]
        .find(&end)
        .map_or(text.len(), |found| body + found + end.len())
}

/// The length of a character, or of the quote before the name of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => quoted(text, 0),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 1,
    }
}

/// Leaves out what `#[cfg(test)]` stands before.
fn without_tests<'t>(
    tokens: &[Token<'t>],
    module: &str,
    test_modules: &mut Vec<String>,
) -> Vec<Token<'t>> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let end = attribute(tokens, at);
        if end == at || !is_for_tests(&tokens[at..end]) {
            kept.extend_from_slice(&tokens[at..end.max(at + 1)]);
            at = end.max(at + 1);
            continue;
        }
        let mut item = end;
        while attribute(tokens, item) > item {
            item = attribute(tokens, item);
        }
        at = end_of_item(tokens, item);
        let words: Vec<&str> = tokens[item..at].iter().map(|token| token.text).collect();
        if let Some(place) = words.iter().position(|word| *word == "mod") {
            test_modules.push(format!("{module}::{}", words[place + 1]));
        }
    }
    kept
}

/// The end of the attribute that begins here; `at` if none does.
fn attribute(tokens: &[Token<'_>], at: usize) -> usize {
    let begins = ["#", "["];
    let is_one = begins.iter().enumerate().all(|(place, sign)| {
        let token = tokens.get(at + place);
        token.is_some_and(|token| token.text == *sign)
    });
    if is_one {
        behind_brackets(tokens, at + 1, "[", "]")
    } else {
        at
    }
}

fn is_for_tests(attribute: &[Token<'_>]) -> bool {
    let has = |word: &str| attribute.iter().any(|token| token.text == word);
    has("cfg") && has("test") && !has("not")
}

fn behind_brackets(tokens: &[Token<'_>], open: usize, opens: &str, closes: &str) -> usize {
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(open) {
        if token.text == opens {
            depth += 1;
        } else if token.text == closes {
            depth -= 1;
            if depth == 0 {
                return place + 1;
            }
        }
    }
    tokens.len()
}

fn end_of_item(tokens: &[Token<'_>], start: usize) -> usize {
    let mut words = tokens[start..].iter().map(|token| token.text);
    let first = words.find(|word| !matches!(*word, "pub" | "(" | "crate" | "super" | ")"));
    let is_import = first == Some("use");
    for (place, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            ";" => return place + 1,
            "{" if !is_import => return behind_brackets(tokens, place, "{", "}"),
            _ => {}
        }
    }
    tokens.len()
}

struct Reader<'t> {
    tokens: &'t [Token<'t>],
    modules: &'t BTreeSet<String>,
    /// Modules within one another, each with the depth of braces at which it ends.
    scopes: Vec<(usize, String)>,
    named: BTreeSet<Named>,
}

impl<'t> Reader<'t> {
    fn text(&self, at: usize) -> &'t str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn module(&self) -> &str {
        self.scopes.last().map_or("", |(_, module)| module)
    }

    fn run(&mut self) {
        let (mut at, mut depth) = (0, 0_usize);
        while at < self.tokens.len() {
            match self.text(at) {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    self.scopes.retain(|(ends, _)| *ends <= depth);
                }
                "mod" if self.text(at + 2) == "{" => {
                    let module = format!("{}::{}", self.module(), self.text(at + 1));
                    self.scopes.push((depth + 1, module));
                }
                word if word.starts_with(is_word) && self.text(at + 1) == "::" => {
                    at = self.tree(String::new(), at);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Notes the paths that begin here behind `before`; gives what comes after them.
    fn tree(&mut self, before: String, mut at: usize) -> usize {
        let mut path = before;
        let line = self.tokens[at].line;
        loop {
            match self.text(at) {
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        at = match self.text(at) {
                            "," => at + 1,
                            _ => self.tree(path.clone(), at),
                        };
                    }
                    return at + 1;
                }
                word if word.starts_with(is_word) => {
                    if !path.is_empty() {
                        path.push_str("::");
                    }
                    path.push_str(word);
                    at += 1;
                }
                "*" => at += 1,
                _ => break,
            }
            if self.text(at) != "::" {
                break;
            }
            at += 1;
        }
        if let Some(path) = self.resolved(&path) {
            self.named.insert(Named { line, path });
        }
        if self.text(at) == "as" {
            at + 2
        } else {
            at.max(1)
        }
    }

    /// The path from its package on; `None` for one that begins with a name of the file's own.
    fn resolved(&self, path: &str) -> Option<String> {
        let mut module = self.module();
        let mut rest = path.strip_suffix("::self").unwrap_or(path);
        let (first, behind) = rest.split_once("::").unwrap_or((rest, ""));
        match first {
            "crate" => {
                module = module.split("::").next().unwrap_or_default();
                rest = behind;
            }
            "self" => rest = behind,
            "super" => {
                while let Some(above) = rest.strip_prefix("super") {
                    rest = above.strip_prefix("::").unwrap_or(above);
                    module = module.rsplit_once("::").map_or(module, |(above, _)| above);
                }
            }
            // A child of the module, or else another package.
            _ if self.modules.contains(&format!("{module}::{first}")) => {}
            _ => return Some(rest.to_owned()),
        }
        Some(if rest.is_empty() {
            module.to_owned()
        } else {
            format!("{module}::{rest}")
        })
    }
}

//! What the CI script and the supply chain's rules promise.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::support::read;

/// The packages of the dependency tree, on the system the image is for.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {complaint}");
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let Value::Array(packages) = metadata["packages"].take() else {
        panic!("no packages");
    };
    packages
}

/// Our own crates have no source, as they come from nowhere.
fn is_ours(package: &Value) -> bool {
    package["source"].is_null()
}

fn rules() -> toml::Table {
    read(".cargo/deny.toml").parse().unwrap()
}

#[test]
fn every_licence_is_one_of_those_allowed() {
    let rules = rules();
    let allowed: Vec<&str> = rules["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|licence| licence.as_str().unwrap())
        .collect();
    let mut refused = Vec::new();
    let packages = packages();
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let text = package["license"].as_str().unwrap_or("");
        // Old crates write MIT/Apache-2.0.
        let expression = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let fits = expression.evaluate(|licence| allowed.contains(&licence.to_string().as_str()));
        if !fits {
            refused.push(format!("{name}: {text}"));
        }
    }
    assert!(packages.len() > 100, "{} packages", packages.len());
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let rules = rules();
    for unknown in ["unknown-registry", "unknown-git"] {
        assert_eq!(rules["sources"][unknown].as_str(), Some("deny"));
    }
    let allowed = rules["sources"]["allow-registry"].as_array().unwrap();
    for package in packages().iter().filter(|package| !is_ours(package)) {
        let source = package["source"].as_str().unwrap();
        let registry = source
            .strip_prefix("registry+")
            .unwrap_or_else(|| panic!("{source}"));
        assert!(
            allowed.iter().any(|url| url.as_str() == Some(registry)),
            "{source}"
        );
    }
}

#[test]
fn every_crate_in_two_versions_is_listed_with_a_reason() {
    let rules = rules();
    assert_eq!(rules["bans"]["multiple-versions"].as_str(), Some("deny"));
    let mut listed = BTreeSet::new();
    for skip in rules["bans"]["skip"].as_array().unwrap() {
        let reason = skip["reason"].as_str().unwrap();
        assert!(reason.len() > 10, "{reason:?}");
        listed.insert(skip["crate"].as_str().unwrap().to_owned());
    }
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        let version = package["version"].as_str().unwrap();
        // As the rules write it: 0.22 of 0.22.1, 2 of 2.0.119.
        let parts = if version.starts_with("0.") { 2 } else { 1 };
        let short: Vec<&str> = version.split('.').take(parts).collect();
        let name = package["name"].as_str().unwrap().to_owned();
        versions.entry(name).or_default().push(short.join("."));
    }
    let mut used = BTreeSet::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let named = versions.iter().map(|version| format!("{name}@{version}"));
        let skipped: Vec<String> = named.filter(|named| listed.contains(named)).collect();
        assert_eq!(skipped.len(), versions.len() - 1, "{name}: {versions:?}");
        used.extend(skipped);
    }
    assert_eq!(used, listed, "a skip that is not needed any more");
}

#[test]
fn no_crate_of_ours_holds_unsafe_code() {
    let mut roots = 0;
    for package in packages().iter().filter(|package| is_ours(package)) {
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{}",
            package["name"]
        );
        for target in package["targets"].as_array().unwrap() {
            // The lint holds the tests; what ships says it in its own words too.
            let ships = target["kind"] == serde_json::json!(["lib"])
                || target["kind"] == serde_json::json!(["bin"]);
            if ships {
                let path = target["src_path"].as_str().unwrap();
                let text = std::fs::read_to_string(path).unwrap();
                assert!(text.contains("#![forbid(unsafe_code)]"), "{path}");
                roots += 1;
            }
        }
    }
    assert!(roots >= 6, "{roots} crates");
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let lint = &workspace["workspace"]["lints"]["rust"]["unsafe_code"];
    assert_eq!(lint.as_str(), Some("forbid"));
}

#[test]
fn every_ignored_advisory_has_a_reason_and_a_last_day() {
    let text = read(".cargo/audit.toml");
    let rules: toml::Table = text.parse().unwrap();
    let ignored = rules["advisories"]["ignore"].as_array().unwrap();
    for advisory in ignored {
        let quoted = format!("\"{}\"", advisory.as_str().unwrap());
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let at = lines
            .iter()
            .position(|line| line.starts_with(&quoted))
            .unwrap();
        let comment: Vec<&str> = lines[..at]
            .iter()
            .rev()
            .map_while(|line| line.strip_prefix("# "))
            .collect();
        let first = comment
            .last()
            .unwrap_or_else(|| panic!("{quoted} has no reason"));
        let (day, reason) = first
            .strip_prefix("until ")
            .unwrap()
            .split_once(": ")
            .unwrap();
        assert!(day.parse::<jiff::civil::Date>().is_ok(), "{quoted}: {day}");
        assert!(reason.len() > 10, "{quoted}: {reason}");
    }
}

#[test]
fn ci_runs_the_readmes_test_command_and_the_linters_without_mercy() {
    const TESTS: &str = "cargo test --workspace --locked";
    let script = read(".ci/run");
    assert!(script.contains("\nset -euo pipefail\n"));
    let steps: Vec<&str> = script
        .lines()
        .filter_map(|line| line.strip_prefix("step "))
        .collect();
    for command in [
        "cargo fmt --all --check",
        "cargo clippy --workspace --all-targets --locked -- -D warnings",
        "env RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --lib --bin healthcheck --examples --no-deps --document-private-items --locked",
        TESTS,
    ] {
        assert!(steps.contains(&command), "{command} is not among {steps:?}");
    }
    assert!(!script.contains("|| true"), "a failure is passed over");
    let readme = read("README.md");
    assert!(
        readme.lines().any(|line| line.trim() == TESTS),
        "the README has another test command"
    );
}

//! What a build without the fault hook, as the image is, says of it and of the commands it lacks: `cargo test
//! --no-default-features --test process`, and the same with `--features lab`.

use std::collections::BTreeMap;

use test_support::TestService;
use test_support::child::run;
use test_support::phone::sid;

/// The one line a command that is refused leaves on standard error.
fn complaint(arguments: &[&str]) -> String {
    let output = run(arguments, &BTreeMap::new());
    assert_eq!(output.status.code(), Some(64), "{arguments:?}");
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaint.trim().lines().count(), 1, "{complaint}");
    complaint
}

#[cfg(feature = "lab")]
#[test]
fn the_demo_says_what_the_build_lacks() {
    let complaint = complaint(&["demo", "--faults"]);
    assert!(complaint.contains("no fault hook"), "{complaint}");
}

#[cfg(not(feature = "lab"))]
#[test]
fn the_help_names_only_what_is_there_and_a_command_that_is_not_names_the_build_that_has_it() {
    let help = run(&["--help"], &BTreeMap::new());
    let help = String::from_utf8(help.stdout).unwrap();
    let named = |name: &str| {
        let mut lines = help.lines().map(str::trim_start);
        lines.any(|line| line.split_whitespace().next() == Some(name))
    };
    for name in ["serve", "check", "book"] {
        assert!(named(name), "{name}: {help}");
    }
    for name in ["demo", "call", "load", "emulate-model"] {
        assert!(!named(name), "{name}: {help}");
        let complaint = complaint(&[name, "--fast"]);
        assert!(
            complaint.contains(&format!("{name} is not in this build"))
                && complaint.contains("with the feature lab"),
            "{complaint}"
        );
    }
}

#[tokio::test]
async fn there_is_no_route_to_break_a_call() {
    let service = TestService::usual().await;
    let path = format!("/admin/calls/{}/fault", sid("CA"));
    let answer = service.operator("POST", &path).await;
    assert_eq!(answer.status, 404);
    let message = answer.json()["error"]["message"].to_string();
    assert!(message.contains("there is nothing at POST"), "{message}");
    service.stop().await;
}

//! What a build without the fault hook, as the image is, says of it: `cargo test --no-default-features --test
//! without_the_hook`.
#![forbid(unsafe_code)]
#![cfg(not(feature = "fault-hook"))]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

mod support;

use std::collections::BTreeMap;

use support::TestService;
use support::child::run;
use support::phone::sid;

#[test]
fn the_demo_says_what_the_build_lacks() {
    let output = run(&["demo", "--faults"], &BTreeMap::new());
    assert_eq!(output.status.code(), Some(64));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("no fault hook"), "{complaint}");
    assert_eq!(complaint.trim().lines().count(), 1, "{complaint}");
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

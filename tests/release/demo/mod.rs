//! `switchboard demo` and `switchboard demo --faults`, as a user runs them.

mod booking;
#[cfg(feature = "fault-hook")]
mod with_faults;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

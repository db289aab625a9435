//! The service as a process of its own: its files, its log, its signals, and strangers at its door.

mod budget;
mod callers;
mod reload;
mod rotation;
mod secrets;
mod slow_openers;
mod stopping;
mod strangers;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

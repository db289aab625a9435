//! Calls that outlive their media socket, and a store that fails.

mod failing_store;
mod lost_socket;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

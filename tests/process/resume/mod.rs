//! Calls that outlive their process: killed, stopped, replaced, drained.

mod booked;
mod called;
mod hung_up_meanwhile;
mod leaving;
mod steps;
mod tickets;
mod transferred;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

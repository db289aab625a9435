//! The fault hook, and what its stalls and ends cost: the caller they strike, and everybody else.
//!
//! Each test prints its figures: `cargo test --test it fault_hook -- --nocapture`.

mod ends;
mod fault_requests;
mod stalls;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

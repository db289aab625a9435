//! Bad input that is measured by what it does to the process: its memory, and its log.
//!
//! Each test prints its figures: `cargo test --test process bad_input -- --nocapture`.

mod memory;
mod parameters;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

//! Panics in every part of the process, on demand, and what each costs: the caller it strikes, and everybody else.
//!
//! Each test prints its figures: `cargo test --test process fault_hook -- --nocapture`.

mod panics;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

//! Many calls that outlive their process: killed, stopped, replaced.
//!
//! The full counts run behind the release gate: `cargo test --test release resume -- --ignored --nocapture`.

mod killed;
mod load_balancer;
mod rolling;
mod taken_over;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

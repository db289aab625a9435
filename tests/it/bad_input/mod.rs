//! Bad input over real sockets, from both sides: a defined answer each, counted, no panic, and nobody else notices.
//!
//! Each test prints its figures: `cargo test --test it bad_input -- --nocapture`.

mod audio;
mod flood;
mod openers;
mod torture;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

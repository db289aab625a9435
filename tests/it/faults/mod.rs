//! The fault rows of the promises, one test a row, each printing its figure: the model resets, hangs, refuses, falls
//! silent, expires; more calls than fit. The phone leg's (F7, F8) are in `tests/release/phone_faults.rs`, what calls leave
//! behind (F19) in `tests/release/nothing_left.rs`: memory and files of a process count only where nothing else runs.

mod admission;
mod expiry;
mod filler;
mod lost;
mod races;
mod refused;
mod replaced;
mod silent;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

//! The real service on free ports, met by emulated callers, models and strangers.

mod conversation;
mod endings;
mod events;
mod methods;
mod model_faults;
mod order_and_identity;
mod tickets_and_signatures;
mod tools;
mod transfer;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}

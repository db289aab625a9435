//! Random conversations over both legs, with faults and lies: what holds whatever happens.
//!
//! `PROPTEST_CASES=100000` runs more of them than the usual two thousand.

mod sockets;
mod steps;
mod tools;
mod watch;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use self::steps::{Opening, opening, steps};
use self::watch::Watched;

const CASES: u32 = 2_000;

fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig {
        cases: asked.cases.max(CASES),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..asked
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_promises_of_a_call_hold_in_every_conversation(opening in opening(), steps in steps()) {
        let mut watched = Watched::new(opening);
        for step in steps {
            watched.take_step(&step);
        }
        watched.hang_up();
    }
}

#[test]
fn a_conversation_that_goes_well_is_watched_from_end_to_end() {
    let mut watched = Watched::new(Opening {
        usual: true,
        greets: true,
        server_interrupts: true,
        latency_ms: 20,
        impatient: false,
    });
    for step in steps::a_good_conversation() {
        watched.take_step(&step);
    }
    watched.hang_up();
    let seen = watched.seen();
    assert!(seen.played > 8_000, "the agent was heard: {seen:?}");
    assert!(seen.appended > 8_000, "the caller was heard: {seen:?}");
    assert!(
        seen.responds > 0 && seen.marks > 0 && seen.clears > 0,
        "{seen:?}"
    );
}

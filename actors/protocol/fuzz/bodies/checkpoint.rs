//! Any document is a checkpoint or refused; what was read can be written, read again, and gone on from.
use std::sync::Arc;

use call_protocol::call::outcome::Unreached;
use call_protocol::call::{AgentProfile, Call, CallSetup};
use call_protocol::checkpoint::{Checkpoint, MAX_BYTES};
use call_protocol::model::command::{SessionSetup, Voice};
use call_protocol::time::Time;

/// What the target does with an input.
pub(crate) fn run(document: &[u8]) {
    let Ok(read) = Checkpoint::decode(document) else {
        return;
    };
    let mut back = read.clone();
    if back.come_back(Unreached::Busy) {
        let _ = Call::resume(setup(), &back).checkpoint(Time::ZERO).encode();
    }
    let mut call = Call::resume(setup(), &read);
    call.handle_timeout(Time::from_millis(20));
    while call.poll_effect().is_some() {}
    let _ = call.checkpoint(Time::from_millis(40)).encode();
    // Names that take more room when they are escaped may not fit a second time; turns never are the reason.
    if let Ok(written) = read.clone().encode() {
        assert!(written.len() <= MAX_BYTES);
        let again = Checkpoint::decode(&written).expect("what was written can be read");
        assert_eq!(again.standing, read.standing);
    }
}

fn setup() -> CallSetup {
    let agent = AgentProfile::new(
        "spa",
        "gpt-realtime-2.1",
        SessionSetup {
            instructions: "You answer the phone of a spa.".to_owned(),
            voice: Voice::Keep,
            tools: Vec::new(),
            options: None,
        },
    );
    CallSetup::new(Arc::new(agent))
}

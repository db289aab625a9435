//! Faults put into a live process on purpose, by the operator of a drill and by tests. Release images leave them out.
//!
//! A **panic** is a mistake in the code that ran. A **stall** is code that takes long, and what that means depends on
//! who it is:
//!
//! | stalled | meaning | stands still meanwhile |
//! | --- | --- | --- |
//! | a call's step | a loop, a blocking system call: the worker thread is held | every call and request of that thread |
//! | a call's actor | it waits for something and takes no message | that call |
//! | a phone or model session | the same; its socket is neither read nor written | that call's leg |
//! | the registry | the same; nobody is let in | new calls, the operator's pages |
//! | the store | its thread is held in mid-transaction, as by a disk that does not answer | checkpoints and journal of all processes on the file |

use std::time::Duration;

use actix::Message;
use call_protocol::checkpoint::Checkpoint;
use call_protocol::phone::CallSid;

use crate::tools::{Stop, ToolStep};

/// The text of every panic of this module.
pub(crate) const CAUSE: &str = "fault hook";

/// A fault of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum Fault {
    /// The next step of the machine panics.
    PanicInStep,
    /// A handler of the actor panics.
    PanicInActor,
    /// The actor panics where nothing catches it, and is dead.
    PanicUnguarded,
    /// The next effect of the machine is not carried out, but a panic.
    PanicInEffect,
    /// A handler of the actor panics, and so does every start that follows.
    PanicInStart,
    /// The machine's value is spoilt: each of its steps panics, until another value takes its place.
    Spoil,
    /// The task of the next tool panics before it has done anything.
    PanicInTool,
    /// The next tool with effects stands still at a step, or its call after the checkpoint with its outcome, so that the
    /// process can be killed there.
    StopTool(ToolStep),
    /// The session of the model leg panics.
    PanicInModel,
    /// The session of the phone leg panics.
    PanicInPhone,
    /// The next step of the machine holds its thread for so long.
    StallStep(Duration),
    /// The actor takes no messages for so long.
    StallActor(Duration),
    /// The session of the model leg does nothing for so long.
    StallModel(Duration),
    /// The session of the phone leg does nothing for so long.
    StallPhone(Duration),
}

/// Puts a fault into one live call; false when there is none by that SID.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "bool")]
pub struct Break(pub CallSid, pub Fault);

#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum SessionFault {
    Panic,
    /// It does nothing for so long.
    Stall(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum RegistryFault {
    /// It spoils its figures and panics.
    Panic,
    /// It answers nobody for so long.
    Stall(Duration),
}

/// A fault of the store's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// It panics in the middle of a transaction.
    Panic,
    /// It stands still for so long in the middle of a transaction.
    Stall(Duration),
}

/// What the next step, effect, start and tool of a call meet.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    step: Option<Fault>,
    effect: bool,
    starts: bool,
    spoilt: bool,
    tool: Option<Fault>,
    /// The first checkpoint with the outcome of an effect is where the call stands still.
    checkpoint: bool,
}

impl Planned {
    pub(crate) const fn for_step(&mut self, fault: Fault) {
        self.step = Some(fault);
    }

    pub(crate) const fn for_effect(&mut self) {
        self.effect = true;
    }

    pub(crate) const fn for_tool(&mut self, fault: Fault) {
        self.tool = Some(fault);
    }

    pub(crate) const fn for_checkpoint(&mut self) {
        self.checkpoint = true;
    }

    pub(crate) const fn for_starts(&mut self) {
        self.starts = true;
    }

    pub(crate) const fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// The machine has another value.
    pub(crate) const fn mend(&mut self) {
        self.spoilt = false;
    }

    /// What is planned for the tool that begins.
    pub(crate) const fn take_tool(&mut self) -> Option<Fault> {
        self.tool.take()
    }

    /// Whether the call stands still after this checkpoint.
    pub(crate) fn take_checkpoint(&mut self, checkpoint: &Checkpoint) -> bool {
        let mut records = checkpoint.tools.records();
        let has_outcome = records.any(|record| record.effects && record.result.is_some());
        self.checkpoint && has_outcome && std::mem::replace(&mut self.checkpoint, false)
    }

    /// A step of the machine begins.
    pub(crate) fn strike_step(&mut self) {
        assert!(!self.spoilt, "{CAUSE}");
        match self.step.take() {
            Some(Fault::StallStep(time)) => std::thread::sleep(time),
            Some(_) => panic!("{CAUSE}"),
            None => {}
        }
    }

    /// An effect is about to be carried out.
    pub(crate) fn strike_effect(&mut self) {
        let strikes = std::mem::replace(&mut self.effect, false);
        assert!(!strikes, "{CAUSE}");
    }

    /// The machine is about to be built anew.
    pub(crate) fn strike_start(&self) {
        assert!(!self.starts, "{CAUSE}");
    }
}

/// How long a run stands still that nobody kills.
pub(crate) const STANDSTILL: Duration = Duration::from_secs(30);

/// Says where a run stands still; whoever kills the process waits for this line.
pub(crate) fn says_where(step: ToolStep) {
    log::warn!(target: "switchboard::tool", step:?; "stands still");
}

/// Stands still, and says where.
pub(crate) async fn stand_still(step: ToolStep) {
    says_where(step);
    actix_rt::time::sleep(STANDSTILL).await;
}

/// Strikes the task of a tool: it panics here, or stands still later.
pub(crate) fn strike_tool(fault: Option<Fault>) -> Stop {
    match fault {
        Some(Fault::StopTool(step)) => Stop { at: Some(step) },
        Some(_) => panic!("{CAUSE}"),
        None => Stop::default(),
    }
}

//! The states a call can be brought to.

use std::time::Duration;

use call_protocol::model::event::{ModelEvent, Refusal};

use crate::common::events::{
    caller_words, complaint, connected, delta, done_with_tools, error, frame, model, model_closed,
    opened, phone_closed, phone_vanished, refused, response_started, session_created, setup,
    standby, start, tool_call, voice,
};
use crate::common::rig::Rig;

/// A state of the phone leg, the session ready and an answer running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhonePlace {
    Accepted,
    Connected,
    Start,
    Media,
    Away,
    Stop,
}

impl PhonePlace {
    pub(crate) const ALL: [Self; 6] = [
        Self::Accepted,
        Self::Connected,
        Self::Start,
        Self::Media,
        Self::Away,
        Self::Stop,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Connected => "connected",
            Self::Start => "start",
            Self::Media => "media",
            Self::Away => "away",
            Self::Stop => "stop",
        }
    }

    /// A call in this state, 600 ms of an answer begun.
    pub(crate) fn reached(self, longest: Duration) -> Rig {
        let mut setup = setup();
        setup.max_length = longest;
        let mut rig = Rig::new(setup);
        rig.ready();
        rig.event(response_started("resp_1"));
        rig.event(delta("resp_1", "item_1", voice(7, 600)));
        let path = match self {
            Self::Accepted => vec![],
            Self::Connected => vec![connected()],
            Self::Start => vec![connected(), start()],
            Self::Media => vec![connected(), start(), frame(1)],
            Self::Away => vec![connected(), start(), frame(1), phone_vanished()],
            Self::Stop => vec![connected(), start(), frame(1), phone_closed()],
        };
        for event in path {
            rig.event(event);
        }
        if matches!(self, Self::Start | Self::Media) {
            // Long enough for the first mark to be out, and not for it to be back.
            rig.latency = Duration::from_millis(300);
            rig.pass(250);
        }
        rig.take();
        rig
    }
}

/// A state of the next session, an answer of the present one running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandbyPlace {
    Absent,
    Dialling,
    Configuring,
    Ready,
}

impl StandbyPlace {
    pub(crate) const ALL: [Self; 4] =
        [Self::Absent, Self::Dialling, Self::Configuring, Self::Ready];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Dialling => "dialling",
            Self::Configuring => "configuring",
            Self::Ready => "ready",
        }
    }

    /// A call in this state.
    pub(crate) fn reached(self) -> Rig {
        let mut rig = Rig::new(setup());
        rig.lifetime = Some(120);
        rig.event(opened());
        let info = rig.configured_at(rig.now);
        rig.event(model(info));
        rig.media();
        rig.event(caller_words("item_0", "Hello."));
        let before = if self == Self::Absent { 59_000 } else { 60_000 };
        rig.pass(before);
        rig.event(response_started("resp_1"));
        rig.event(delta("resp_1", "item_1", voice(7, 600)));
        let info = rig.configured_at(rig.now);
        let path = match self {
            Self::Absent | Self::Dialling => vec![],
            Self::Configuring => vec![ModelEvent::Opened],
            Self::Ready => vec![ModelEvent::Opened, info],
        };
        for event in path {
            rig.event(standby(event));
        }
        rig.caller_sends(None);
        rig.take();
        rig
    }
}

/// A state of the link to the model, the phone in `media`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkPlace {
    Dialling,
    Configuring,
    ConfiguringLeast,
    ReadyIdle,
    ReadySpeaking,
    /// A tool runs, and the response that called it is done.
    ReadyTool,
    Waiting,
    Lost,
}

impl LinkPlace {
    pub(crate) const ALL: [Self; 8] = [
        Self::Dialling,
        Self::Configuring,
        Self::ConfiguringLeast,
        Self::ReadyIdle,
        Self::ReadySpeaking,
        Self::ReadyTool,
        Self::Waiting,
        Self::Lost,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dialling => "dialling",
            Self::Configuring => "configuring",
            Self::ConfiguringLeast => "configuring_least",
            Self::ReadyIdle => "ready idle",
            Self::ReadySpeaking => "ready speaking",
            Self::ReadyTool => "ready tool",
            Self::Waiting => "waiting",
            Self::Lost => "lost",
        }
    }

    /// A call in this state.
    pub(crate) fn reached(self) -> Rig {
        let mut rig = Rig::new(setup());
        rig.media();
        let refusal = complaint("unknown_parameter", "No.", Some("configure-1"));
        match self {
            Self::Dialling => {}
            Self::Configuring => {
                rig.event(opened());
                rig.event(session_created());
            }
            Self::ConfiguringLeast => {
                rig.event(opened());
                rig.event(session_created());
                rig.event(error(refusal));
            }
            Self::ReadyIdle => rig.ready(),
            Self::ReadySpeaking => {
                rig.ready();
                rig.event(response_started("resp_1"));
                rig.event(delta("resp_1", "item_1", voice(7, 600)));
            }
            Self::ReadyTool => {
                rig.ready();
                rig.event(response_started("resp_1"));
                rig.event(tool_call("resp_1", "lookup", true));
                rig.event(done_with_tools("resp_1", 1));
            }
            Self::Waiting => {
                rig.ready();
                rig.event(model_closed(None));
            }
            Self::Lost => rig.event(refused(Refusal::Status(401))),
        }
        // Frames would only be noise in the table.
        rig.caller_sends(None);
        rig.take();
        rig
    }
}

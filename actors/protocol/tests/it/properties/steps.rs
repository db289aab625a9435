//! What can happen in a random conversation.

use proptest::prelude::*;

/// How a conversation begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// Both legs come up as they should and the caller's frames flow; else everything is left to the steps.
    pub(crate) usual: bool,
    pub(crate) greets: bool,
    pub(crate) server_interrupts: bool,
    pub(crate) latency_ms: u64,
    /// Silence, length and missing turns are noticed within seconds.
    pub(crate) impatient: bool,
}

/// One thing that happens. Responses, items and lies are chosen by small numbers, so that they meet.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Pass(u64),
    Connected,
    Start {
        foreign_call: bool,
        linear: bool,
    },
    Frame {
        foreign: bool,
        sequence: Option<u64>,
        timestamp: Option<u64>,
    },
    FramesFlow(bool),
    /// `0` is bound to the front desk.
    Key {
        foreign: bool,
        digit: char,
    },
    /// A mark the phone never sent back.
    MarkLie(u64),
    Stop {
        foreign: bool,
    },
    PhoneUnusable,
    PhoneUnknown,
    PhoneRejected(u8),
    PhoneClosed,
    /// The media socket breaks, and another takes its place so much later, or does not.
    PhoneReplaced {
        after_ms: Option<u64>,
    },
    /// The phone stops or resumes sending marks back.
    Deaf(bool),
    Opened,
    SessionCreated,
    Configured(u8),
    Refused(u8),
    SpeechStarted,
    SpeechStopped,
    CallerWords(u8),
    ResponseStarted {
        linear: bool,
    },
    Audio {
        back: usize,
        item: u8,
        part: u32,
        bytes: usize,
    },
    GhostAudio(usize),
    AudioDone {
        back: usize,
        item: u8,
        part: u32,
    },
    AgentWords(u8),
    ToolCall {
        back: usize,
        call: u8,
        tool: u8,
        complete: bool,
    },
    /// A run is over.
    ToolDone {
        back: usize,
        result: u8,
    },
    CallerTurn(u8),
    ResponseDone {
        back: usize,
        status: u8,
        spoken: bool,
    },
    /// An error, about our last request if `ours`.
    Error {
        code: u8,
        ours: bool,
    },
    ModelUnusable,
    ModelStuck,
    ModelClosed(u8),
    OperatorHangUp,
    HandOver,
    Superseded,
    WokeUp,
    /// A command of the operator: to say something, to know something.
    OperatorWords {
        said: bool,
    },
    OperatorTransfer,
    /// A person who is called, or was, does something.
    Person {
        attempt: u8,
        does: u8,
    },
}

pub(crate) fn opening() -> impl Strategy<Value = Opening> {
    let latency = prop_oneof![Just(0u64), 1..40u64, 40..400u64];
    (
        prop::bool::weighted(0.85),
        any::<bool>(),
        any::<bool>(),
        latency,
        prop::bool::weighted(0.3),
    )
        .prop_map(
            |(usual, greets, server_interrupts, latency_ms, impatient)| Opening {
                usual,
                greets,
                server_interrupts,
                latency_ms,
                impatient,
            },
        )
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            30 => passing(),
            50 => conversing(),
            6 => model_socket(),
            8 => phone_talk(),
            1 => trouble(),
        ],
        1..90,
    )
}

fn passing() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..40u64).prop_map(Step::Pass),
        10 => (40..600u64).prop_map(Step::Pass),
        1 => (600..6_000u64).prop_map(Step::Pass),
    ]
}

fn conversing() -> impl Strategy<Value = Step> {
    let length = prop_oneof![Just(160usize), Just(1_600), 1..4_000usize];
    prop_oneof![
        6 => prop::bool::weighted(0.06).prop_map(|linear| Step::ResponseStarted { linear }),
        16 => (0..3usize, 0..2u8, 0..2u32, length)
            .prop_map(|(back, item, part, bytes)| Step::Audio { back, item, part, bytes }),
        3 => (0..3usize, 0..2u8, 0..2u32)
            .prop_map(|(back, item, part)| Step::AudioDone { back, item, part }),
        5 => (0..3usize, 0..7u8, any::<bool>())
            .prop_map(|(back, status, spoken)| Step::ResponseDone { back, status, spoken }),
        4 => Just(Step::SpeechStarted),
        3 => Just(Step::SpeechStopped),
        1 => (0..5u8).prop_map(Step::CallerWords),
        1 => (0..5u8).prop_map(Step::AgentWords),
        7 => (0..2usize, 0..12u8, 0..8u8, prop::bool::weighted(0.8))
            .prop_map(|(back, call, tool, complete)| Step::ToolCall { back, call, tool, complete }),
        4 => (0..3usize, 0..7u8).prop_map(|(back, result)| Step::ToolDone { back, result }),
        2 => (0..5u8).prop_map(Step::CallerTurn),
        1 => (1..4_000usize).prop_map(Step::GhostAudio),
        2 => (0..6u8, any::<bool>()).prop_map(|(code, ours)| Step::Error { code, ours }),
    ]
}

fn model_socket() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Opened),
        2 => Just(Step::SessionCreated),
        6 => (0..8u8).prop_map(Step::Configured),
        1 => (1..5u8).prop_map(Step::Refused),
        1 => (0..4u8).prop_map(Step::ModelClosed),
        1 => Just(Step::ModelStuck),
        1 => Just(Step::ModelUnusable),
    ]
}

fn phone_talk() -> impl Strategy<Value = Step> {
    let sequence = prop_oneof![Just(None), (0..300u64).prop_map(Some), Just(Some(u64::MAX))];
    let timestamp = prop_oneof![
        Just(None),
        (0..12_000u64).prop_map(Some),
        Just(Some(u64::MAX))
    ];
    prop_oneof![
        6 => (prop::bool::weighted(0.2), sequence, timestamp)
            .prop_map(|(foreign, sequence, timestamp)| Step::Frame { foreign, sequence, timestamp }),
        4 => (prop::bool::weighted(0.2), prop::sample::select(vec!['1', '2', '#', '0']))
            .prop_map(|(foreign, digit)| Step::Key { foreign, digit }),
        2 => (0..30u64).prop_map(Step::MarkLie),
        1 => any::<bool>().prop_map(Step::Deaf),
        1 => any::<bool>().prop_map(Step::FramesFlow),
        1 => Just(Step::Connected),
        1 => Just(Step::PhoneUnusable),
        1 => Just(Step::PhoneUnknown),
        2 => any::<bool>().prop_map(|said| Step::OperatorWords { said }),
        2 => (1..3u8, 0..9u8).prop_map(|(attempt, does)| Step::Person { attempt, does }),
    ]
}

fn trouble() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::bool::weighted(0.1), prop::bool::weighted(0.1))
            .prop_map(|(foreign_call, linear)| Step::Start { foreign_call, linear }),
        3 => any::<bool>().prop_map(|foreign| Step::Stop { foreign }),
        1 => (0..4u8).prop_map(Step::PhoneRejected),
        1 => Just(Step::PhoneClosed),
        3 => prop_oneof![Just(None), (0..2_300u64).prop_map(Some)]
            .prop_map(|after_ms| Step::PhoneReplaced { after_ms }),
        1 => Just(Step::Refused(0)),
        1 => Just(Step::OperatorTransfer),
        1 => Just(Step::OperatorHangUp),
        1 => Just(Step::HandOver),
        1 => Just(Step::Superseded),
        3 => Just(Step::WokeUp),
    ]
}

/// Greeting, question, answer, interruption, another answer.
pub(crate) fn a_good_conversation() -> Vec<Step> {
    let mut steps = vec![Step::Pass(300)];
    for _ in 0..3 {
        steps.push(Step::ResponseStarted { linear: false });
        for _ in 0..12 {
            steps.push(Step::Audio {
                back: 0,
                item: 0,
                part: 0,
                bytes: 1_600,
            });
            steps.push(Step::Pass(40));
        }
        steps.push(Step::AudioDone {
            back: 0,
            item: 0,
            part: 0,
        });
        steps.push(Step::ResponseDone {
            back: 0,
            status: 0,
            spoken: true,
        });
        steps.push(Step::Pass(700));
        steps.push(Step::SpeechStarted);
        steps.push(Step::Pass(900));
        steps.push(Step::SpeechStopped);
    }
    steps
}

//! Steps that need no memory: what the phone, the operator and the model's socket bring.

use call_protocol::audio::AudioFormat;
use call_protocol::call::event::{Event, OperatorEvent, OperatorText};
use call_protocol::call::outcome::{ConsultEvent, Destination, Unreached};
use call_protocol::model::event::{ModelEvent, Refusal};
use call_protocol::phone::event::{CallerAudio, PhoneEvent};
use call_protocol::wire::{ReadError, SocketFault};

use super::steps::Step;
use crate::common::events::{
    call_sid, configured_as, connected, foreign_call, foreign_stream, good_start, hang_up, mark,
    model, model_closed, opened, phone_closed, refused, session_created, start_of, stream_sid,
    voice,
};

/// The event of a step, unless it is one of the conversation or none at all.
pub(crate) fn event_of(step: &Step) -> Option<Event> {
    let stream = |foreign: bool| {
        Some(if foreign {
            foreign_stream()
        } else {
            stream_sid()
        })
    };
    Some(match step {
        Step::Connected => connected(),
        Step::Start {
            foreign_call: another,
            linear,
        } => {
            let mut start = good_start();
            if *another {
                start.call = Some(foreign_call());
            }
            if *linear {
                start.format.sample_rate = 16_000;
            }
            start_of(start)
        }
        Step::Frame {
            foreign,
            sequence,
            timestamp,
        } => Event::Phone(PhoneEvent::Audio(CallerAudio {
            stream: stream(*foreign),
            sequence: *sequence,
            timestamp_ms: *timestamp,
            payload: voice(0xFE, 20),
        })),
        Step::Key { foreign, digit } => Event::Phone(PhoneEvent::Key {
            stream: stream(*foreign),
            digit: *digit,
        }),
        Step::MarkLie(number) => mark(&format!("m0-{number}")),
        Step::Stop { foreign } => Event::Phone(PhoneEvent::Stop {
            stream: stream(*foreign),
        }),
        Step::PhoneUnusable => Event::Phone(PhoneEvent::Unusable(ReadError::Malformed)),
        Step::PhoneUnknown => Event::Phone(PhoneEvent::Unknown {
            event: "brand_new".to_owned(),
        }),
        Step::PhoneRejected(fault) => {
            let faults = [
                SocketFault::Protocol,
                SocketFault::NotUtf8,
                SocketFault::TooLarge,
                SocketFault::Binary,
                SocketFault::Flood,
            ];
            Event::Phone(PhoneEvent::Rejected(faults[usize::from(*fault)]))
        }
        Step::PhoneClosed => phone_closed(),
        Step::OperatorHangUp => hang_up(),
        Step::HandOver => Event::Operator(OperatorEvent::HandOver),
        Step::Superseded => Event::Operator(OperatorEvent::Superseded),
        Step::WokeUp => Event::Operator(OperatorEvent::WokeUp),
        Step::OperatorWords { said } => {
            let words = OperatorText::parse("We close at six.").ok()?;
            Event::Operator(if *said {
                OperatorEvent::Say(words)
            } else {
                OperatorEvent::Instruct(words)
            })
        }
        Step::OperatorTransfer => {
            let to = Destination::Target("front_desk".to_owned());
            Event::Operator(OperatorEvent::Transfer(to))
        }
        Step::Person { attempt, does } => {
            let attempt = u32::from(*attempt);
            let leg = call_sid();
            let why = Unreached::ALL[usize::from(*does) % Unreached::ALL.len()];
            Event::Operator(OperatorEvent::Consult(match does {
                0 => ConsultEvent::Placed { attempt, leg },
                1 => ConsultEvent::Answered { attempt, leg },
                2 | 3 => ConsultEvent::Takes { attempt },
                _ => ConsultEvent::Gone { attempt, why },
            }))
        }
        Step::Opened => opened(),
        Step::SessionCreated => session_created(),
        Step::Configured(0) => configured_as(AudioFormat::Pcm24k),
        Step::Configured(_) => configured_as(AudioFormat::Mulaw),
        Step::Refused(how) => refused(match how {
            0 => Refusal::Status(401),
            1 => Refusal::Status(429),
            2 => Refusal::Status(503),
            3 => Refusal::Timeout,
            _ => Refusal::Network,
        }),
        Step::ModelStuck => model(ModelEvent::Unresponsive),
        Step::ModelClosed(how) => model_closed(match how {
            0 => None,
            1 => Some(1_000),
            2 => Some(1_001),
            _ => Some(1_011),
        }),
        _ => return None,
    })
}

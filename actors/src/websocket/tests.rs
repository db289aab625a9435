//! RFC 6455 case by case, on the path of either leg: limit, codec, frame rules. The classes are those of the Autobahn
//! suite, which `examples/echo.rs` runs.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use actix_codec::{Decoder as _, Framed};
use actix_http::ws::{Codec, Frame, Message, ProtocolError};
use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::io::{AsyncRead, ReadBuf};

use super::{FrameAction, FrameLimit, InboundFrames};

const LIMIT: usize = 65_536;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FIN: u8 = 0x80;

/// Whose socket reads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leg {
    /// A server's: its peer masks.
    Phone,
    /// A client's: its peer does not.
    Model,
}

const LEGS: [Leg; 2] = [Leg::Phone, Leg::Model];

/// What a session does about the frames, up to the one that ends the socket.
#[derive(Debug, PartialEq)]
enum Done {
    Text(String),
    Pong(Vec<u8>),
    Closed(Option<u16>),
    Rejected(u16),
    Vanished,
}

fn text(words: &str) -> Done {
    Done::Text(words.to_owned())
}

/// A frame as the peer of that leg sends it: its first byte, its payload.
type Wire<'a> = (u8, &'a [u8]);

fn bytes_of(frames: &[Wire<'_>], masked: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (first, payload) in frames {
        bytes.push(*first);
        let mask_bit = if masked { 0x80 } else { 0 };
        match payload.len() {
            length @ 0..126 => bytes.push(mask_bit | length as u8),
            length @ 126..65_536 => {
                bytes.push(mask_bit | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(mask_bit | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            let mask = [0x11, 0x22, 0x33, 0x44];
            bytes.extend(mask);
            bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
        } else {
            bytes.extend(*payload);
        }
    }
    bytes
}

/// Bytes that come in chunks of that size at most, and then the end.
struct Chunks<'a>(&'a [u8], usize);

impl AsyncRead for Chunks<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = self.0.len().min(self.1).min(buffer.remaining());
        let (chunk, rest) = self.0.split_at(most);
        buffer.put_slice(chunk);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

fn note(action: FrameAction, done: &mut Vec<Done>) -> bool {
    let (what, over) = match action {
        FrameAction::Nothing => return false,
        FrameAction::Text(words) => (Done::Text(words.to_string()), false),
        FrameAction::Answer(ping) => (Done::Pong(ping.to_vec()), false),
        FrameAction::Closed(reason) => {
            let code = reason.map(|reason| reason.code.into());
            (Done::Closed(code), true)
        }
        FrameAction::Vanished(_) => (Done::Vanished, true),
        FrameAction::Reject(fault) => (Done::Rejected(fault.close_code()), true),
    };
    done.push(what);
    over
}

fn as_model(bytes: &[u8], chunk: usize) -> Vec<Done> {
    let mut done = Vec::new();
    let mut frames = InboundFrames::new(LIMIT);
    let socket = FrameLimit::new(Chunks(bytes, chunk), LIMIT);
    let codec = Codec::new().client_mode().max_size(LIMIT);
    let mut socket = Framed::new(socket, codec);
    while let Some(item) = socket.next().now_or_never().expect("bytes do not wait") {
        if note(frames.judge_frame(item, Instant::now()), &mut done) {
            break;
        }
    }
    done
}

/// As `actix_web_actors` reads a request's payload: an error loses its type, a text is spelled.
fn as_phone(bytes: &[u8], chunk: usize) -> Vec<Done> {
    let chunks = bytes.chunks(chunk).map(Bytes::copy_from_slice).map(Ok);
    let mut payload = pin!(FrameLimit::new(
        stream::iter(chunks.collect::<Vec<Result<Bytes, PayloadError>>>()),
        LIMIT
    ));
    let mut codec = Codec::new().max_size(LIMIT);
    let mut frames = InboundFrames::new(LIMIT);
    let (mut buffer, mut done) = (BytesMut::new(), Vec::new());
    let told = |words: String| ProtocolError::Io(io::Error::other(words));
    let mut nobody = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(chunk)) = payload.as_mut().poll_next_unpin(&mut nobody) {
        match chunk {
            Ok(chunk) => buffer.extend_from_slice(&chunk),
            Err(error) => {
                let error = Err(told(error.to_string()));
                note(frames.judge(error, Instant::now()), &mut done);
                return done;
            }
        }
        while let Some(item) = codec.decode(&mut buffer).transpose() {
            let item = item.and_then(|frame| match frame {
                Frame::Text(text) => ByteString::try_from(text)
                    .map(Message::Text)
                    .map_err(|error| told(error.to_string())),
                Frame::Binary(data) => Ok(Message::Binary(data)),
                Frame::Continuation(piece) => Ok(Message::Continuation(piece)),
                Frame::Ping(data) => Ok(Message::Ping(data)),
                Frame::Pong(data) => Ok(Message::Pong(data)),
                Frame::Close(reason) => Ok(Message::Close(reason)),
            });
            if note(frames.judge(item, Instant::now()), &mut done) {
                return done;
            }
        }
    }
    done
}

/// What a leg does about these bytes, however they are cut.
fn reads(leg: Leg, bytes: &[u8]) -> Vec<Done> {
    let read = match leg {
        Leg::Phone => as_phone,
        Leg::Model => as_model,
    };
    let whole = read(bytes, bytes.len().max(1));
    if bytes.len() < 1_000 {
        for chunk in [1, 3, 7] {
            assert_eq!(read(bytes, chunk), whole, "{leg:?} in chunks of {chunk}");
        }
    }
    whole
}

/// Both legs do this about these frames.
#[track_caller]
fn both(what: &str, frames: &[Wire<'_>], wanted: &[Done]) {
    for leg in LEGS {
        let bytes = bytes_of(frames, leg == Leg::Phone);
        assert_eq!(reads(leg, &bytes), wanted, "{what}, {leg:?}");
    }
}

#[track_caller]
fn both_reject(what: &str, frames: &[Wire<'_>], code: u16) {
    both(what, frames, &[Done::Rejected(code)]);
}

#[test]
fn class_1_texts_of_every_form_of_length_are_read_and_binary_is_not() {
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
        let words = "*".repeat(length);
        both("a text", &[(FIN | TEXT, words.as_bytes())], &[text(&words)]);
        both_reject("binary", &[(FIN | BINARY, words.as_bytes())], 1003);
    }
    both_reject("a text too large", &[(FIN | TEXT, &[b'*'; 65_537])], 1009);
    both_reject("pieces of binary", &[(BINARY, b"a")], 1003);
}

#[test]
fn class_2_pings_are_answered_and_pongs_are_not() {
    for length in [0, 1, 125] {
        let words = vec![0xFE; length];
        let answer = Done::Pong(words.clone());
        both("a ping", &[(FIN | PING, &words)], &[answer]);
        both("a pong", &[(FIN | PONG, &words)], &[]);
    }
    let answers: Vec<Done> = (0..10).map(|n| Done::Pong(vec![n])).collect();
    let pings: Vec<[u8; 1]> = (0..10).map(|n| [n]).collect();
    let pings: Vec<Wire<'_>> = pings.iter().map(|ping| (FIN | PING, &ping[..])).collect();
    both("ten pings", &pings, &answers);
    both_reject("a long ping", &[(FIN | PING, &[0; 126])], 1002);
    both_reject("a long pong", &[(FIN | PONG, &[0; 126])], 1002);
    for leg in LEGS {
        for opcode in [PING, PONG] {
            let ping: Wire<'_> = (FIN | opcode, b"");
            let flood = bytes_of(&[ping; 51], leg == Leg::Phone);
            assert_eq!(reads(leg, &flood).pop(), Some(Done::Rejected(1008)));
        }
    }
}

#[test]
fn class_3_reserved_bits_are_refused_after_what_came_before() {
    for bits in 1..=7 {
        let first = FIN | bits << 4;
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            let frames: [Wire<'_>; 3] = [
                (FIN | TEXT, b"before"),
                (first | opcode, b""),
                (FIN | TEXT, b"after"),
            ];
            both(
                "reserved bits",
                &frames,
                &[text("before"), Done::Rejected(1002)],
            );
        }
    }
}

#[test]
fn class_4_reserved_opcodes_are_refused() {
    for opcode in (3..=7).chain(0xB..=0xF) {
        for payload in [&b""[..], b"words"] {
            both_reject("a reserved opcode", &[(FIN | opcode, payload)], 1002);
        }
    }
}

#[test]
fn class_5_fragments_are_joined_in_their_order_only() {
    both(
        "three pieces",
        &[
            (TEXT, b"one "),
            (CONTINUATION, b"two "),
            (FIN | CONTINUATION, b"three"),
        ],
        &[text("one two three")],
    );
    both(
        "control frames between pieces",
        &[
            (TEXT, b"a"),
            (FIN | PING, b"1"),
            (CONTINUATION, b""),
            (FIN | PONG, b"2"),
            (FIN | CONTINUATION, b"b"),
            (FIN | TEXT, b"c"),
        ],
        &[Done::Pong(b"1".to_vec()), text("ab"), text("c")],
    );
    both(
        "no pieces",
        &[(TEXT, b""), (FIN | CONTINUATION, b"")],
        &[text("")],
    );
    both_reject("a ping in pieces", &[(PING, b"a")], 1002);
    both_reject("a pong in pieces", &[(PONG, b"a")], 1002);
    both_reject("a close in pieces", &[(CLOSE, b"")], 1002);
    both_reject("the end of nothing", &[(FIN | CONTINUATION, b"a")], 1002);
    both_reject("more of nothing", &[(CONTINUATION, b"a")], 1002);
    both_reject(
        "a text in a text",
        &[(TEXT, b"a"), (FIN | TEXT, b"b")],
        1002,
    );
    both_reject("a start in a text", &[(TEXT, b"a"), (TEXT, b"b")], 1002);
    both_reject(
        "binary in a text",
        &[(TEXT, b"a"), (FIN | BINARY, b"b")],
        1002,
    );
    let half = [b'*'; LIMIT / 2];
    both_reject(
        "pieces too large together",
        &[(TEXT, &half), (CONTINUATION, &half), (CONTINUATION, b"*")],
        1009,
    );
    let mut many: Vec<Wire<'_>> = vec![(CONTINUATION, b""); 1_000];
    many[0] = (TEXT, b"");
    both_reject("a thousand pieces", &many, 1009);
}

/// Texts of Markus Kuhn's stress test, by its sections, and those of RFC 3629 at the borders.
const SPELLED: [&str; 14] = [
    "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!",
    "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}",
    "\0",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10000}",
    "\u{1fffe}",
    "\u{10ffff}",
];

const UNSPELLED: [&[u8]; 34] = [
    // 2.1, 2.2: the first and last sequences beyond four bytes.
    &[0xF8, 0x88, 0x80, 0x80, 0x80],
    &[0xFC, 0x84, 0x80, 0x80, 0x80, 0x80],
    &[0xF7, 0xBF, 0xBF, 0xBF],
    &[0xFB, 0xBF, 0xBF, 0xBF, 0xBF],
    &[0xFD, 0xBF, 0xBF, 0xBF, 0xBF, 0xBF],
    // Beyond U+10FFFF.
    &[0xF4, 0x90, 0x80, 0x80],
    // 3.1: continuation bytes alone.
    &[0x80],
    &[0xBF],
    &[0x80, 0xBF],
    &[0x80, 0xBF, 0x80, 0xBF, 0x80, 0xBF],
    // 3.2: first bytes alone.
    &[0xC0, b' ', 0xC1, b' '],
    &[0xDF, b' '],
    &[0xE0, b' ', 0xEF, b' '],
    &[0xF0, b' ', 0xF7, b' '],
    &[0xF8, b' '],
    &[0xFC, b' '],
    // 3.3, 3.4: sequences without their last byte.
    &[0xC0],
    &[0xE0, 0x80],
    &[0xF0, 0x80, 0x80],
    &[0xDF],
    &[0xEF, 0xBF],
    &[0xF4, 0x8F, 0xBF],
    &[0xC0, 0xE0, 0x80, 0xF0, 0x80, 0x80],
    // 3.5: impossible bytes.
    &[0xFE],
    &[0xFF],
    &[0xFE, 0xFE, 0xFF, 0xFF],
    // 4: overlong sequences.
    &[0xC0, 0xAF],
    &[0xE0, 0x80, 0xAF],
    &[0xF0, 0x80, 0x80, 0xAF],
    &[0xC1, 0xBF],
    &[0xE0, 0x9F, 0xBF],
    // 5: surrogates, alone and in pairs.
    &[0xED, 0xA0, 0x80],
    &[0xED, 0xBF, 0xBF],
    &[0xED, 0xA0, 0x80, 0xED, 0xB0, 0x80],
];

/// A text cut into frames of one byte each.
fn cut(bytes: &[u8]) -> Vec<Wire<'_>> {
    let mut frames: Vec<Wire<'_>> = bytes.chunks(1).map(|byte| (CONTINUATION, byte)).collect();
    if let Some(first) = frames.first_mut() {
        first.0 = TEXT;
    }
    frames.push((FIN | CONTINUATION, b""));
    frames
}

#[test]
fn class_6_a_text_is_utf_8_whole_or_in_pieces() {
    for words in SPELLED {
        let bytes = words.as_bytes();
        both(words, &[(FIN | TEXT, bytes)], &[text(words)]);
        both(words, &cut(bytes), &[text(words)]);
    }
    for bytes in UNSPELLED {
        let among = [b"before", bytes, b"after"].concat();
        let what = format!("{bytes:X?}");
        both_reject(&what, &[(FIN | TEXT, bytes)], 1007);
        both_reject(&what, &[(FIN | TEXT, &among)], 1007);
        both_reject(&what, &cut(bytes), 1007);
        both_reject(&what, &cut(&among), 1007);
    }
    both_reject(
        "a wrong byte in a text that never ends",
        &[(TEXT, b"ok"), (CONTINUATION, b"\xF4\x90")],
        1007,
    );
}

#[test]
fn class_7_a_goodbye_has_a_code_that_may_be_sent() {
    let body = |code: u16, reason: &[u8]| [&code.to_be_bytes(), reason].concat();
    let close = FIN | CLOSE;
    both("no code", &[(close, b"")], &[Done::Closed(None)]);
    for code in (1000..=1003)
        .chain(1007..=1014)
        .chain([3000, 3999, 4000, 4999])
    {
        let (alone, told) = (body(code, b""), body(code, &[b'*'; 123]));
        let frames = [(close, &alone[..]), (FIN | TEXT, b"after")];
        both("a code", &frames, &[Done::Closed(Some(code))]);
        both("a reason", &[(close, &told)], &[Done::Closed(Some(code))]);
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        both_reject("a code", &[(close, &body(code, b""))], 1002);
    }
    both_reject("half a code", &[(close, &[3])], 1002);
    both_reject("a long reason", &[(close, &body(1000, &[b'*'; 124]))], 1002);
    both_reject("a reason", &[(close, &body(1000, b"\xED\xA0\x80"))], 1002);
    both(
        "a goodbye between pieces",
        &[(TEXT, b"a"), (close, &body(1000, b""))],
        &[Done::Closed(Some(1000))],
    );
}

#[test]
fn a_peer_masks_as_its_side_has_to() {
    let frames: [Wire<'_>; 1] = [(FIN | TEXT, b"{}")];
    let wanted = [Done::Rejected(1002)];
    assert_eq!(reads(Leg::Phone, &bytes_of(&frames, false)), wanted);
    assert_eq!(reads(Leg::Model, &bytes_of(&frames, true)), wanted);
}

#[test]
fn a_head_beyond_the_limit_is_refused_before_its_frame_came() {
    for leg in LEGS {
        let mut head = bytes_of(&[(FIN | TEXT, &[0; 65_537])], leg == Leg::Phone);
        head.truncate(10);
        assert_eq!(reads(leg, &head), [Done::Rejected(1009)], "{leg:?}");
    }
}

#[test]
fn a_peer_that_is_gone_is_told_from_one_that_breaks_a_rule() {
    let gone = [
        io::Error::other(PayloadError::Incomplete(None).to_string()),
        io::ErrorKind::ConnectionReset.into(),
        io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError),
    ];
    for error in gone {
        let said = error.to_string();
        let action = InboundFrames::new(LIMIT).judge(Err(error.into()), Instant::now());
        assert!(matches!(action, FrameAction::Vanished(_)), "{said}");
    }
}

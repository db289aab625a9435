//! A media socket of raw bytes, for frames that no WebSocket library would send.

use std::net::SocketAddr;
use std::time::Duration;

use switchboard_kit::twilio::signature::sign;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{AUTH_TOKEN, SOON, TestService};

/// Text, binary and control opcodes (RFC 6455, section 5.2).
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// The last frame of a message.
pub const FIN: u8 = 0x80;

const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// An upgraded TCP connection.
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A frame of the service.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// How the service answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It closed with this code.
    Closed(u16),
    /// It ended the connection without a word.
    Dropped,
}

/// Who sends a frame: Twilio is a client and masks, the model is a server and does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    Twilio,
    Model,
}

impl Sender {
    /// A frame.
    pub fn frame(self, first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = self.head(first, payload.len() as u64);
        match self {
            Self::Twilio => {
                bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
            }
            Self::Model => bytes.extend(payload),
        }
        bytes
    }

    /// The head of a frame of that length.
    pub fn head(self, first: u8, length: u64) -> Vec<u8> {
        let mask_bit = if self == Self::Twilio { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(mask_bit | length as u8),
            126..65_536 => {
                bytes.push(mask_bit | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask_bit | 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        if self == Self::Twilio {
            bytes.extend(MASK);
        }
        bytes
    }
}

/// A frame of Twilio.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    Sender::Twilio.frame(first, payload)
}

/// The head of a frame of Twilio of that length.
pub fn head(first: u8, length: u64) -> Vec<u8> {
    Sender::Twilio.head(first, length)
}

impl TestService {
    /// Announces a call and opens its media socket by hand.
    pub async fn pick_up_raw(&self, call_sid: &str) -> Raw {
        let path = self.ticket(call_sid).await;
        let signature = sign::<&str, &str>(AUTH_TOKEN, &format!("wss://spa.example{path}"), &[]);
        Raw::open(self.public, &path, &signature).await
    }
}

impl Raw {
    /// Opens a media socket with this signature.
    pub async fn open(to: SocketAddr, path: &str, signature: &str) -> Self {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: spa.example\r\nUser-Agent: Twilio.TmeWs/1.0\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             x-twilio-signature: {signature}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut raw = Self {
            stream,
            buffer: Vec::new(),
        };
        let head = raw.http_head().await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        raw
    }

    async fn http_head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.fill().await, "no answer to the upgrade");
        }
    }

    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 4_096];
        let read = tokio::time::timeout(SOON, self.stream.read(&mut chunk)).await;
        match read.expect("the service says something") {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                true
            }
        }
    }

    /// Sends bytes as they are; false when the service has gone.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    pub async fn send_text(&mut self, text: &str) -> bool {
        self.send(&frame(FIN | TEXT, text.as_bytes())).await
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.parse() {
                return Some(frame);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let [first, second, rest @ ..] = self.buffer.as_slice() else {
            return None;
        };
        let (length, used) = match (second & 0x7F, rest) {
            (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
            (127, _) => panic!("the service sends no frames that long"),
            (126, _) => return None,
            (short, _) => (usize::from(short), 2),
        };
        if self.buffer.len() < used + length {
            return None;
        }
        let opcode = first & 0x0F;
        let payload = self.buffer[used..used + length].to_vec();
        self.buffer.drain(..used + length);
        Some(Frame { opcode, payload })
    }

    /// Reads to the end: what the service made of it.
    pub async fn verdict(&mut self, within: Duration) -> Verdict {
        let end = async {
            while let Some(frame) = self.next().await {
                if frame.opcode == CLOSE {
                    let code = frame
                        .payload
                        .first_chunk::<2>()
                        .copied()
                        .unwrap_or_default();
                    return Verdict::Closed(u16::from_be_bytes(code));
                }
            }
            Verdict::Dropped
        };
        tokio::time::timeout(within, end)
            .await
            .expect("the service ends the connection")
    }
}

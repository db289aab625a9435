//! The one address the service has: leads each connection to the process of the day, and listens to what it says.
//!
//! I2: who speaks on which media stream, from when to when. What a server sends over WebSocket is not masked, so that a
//! media message can be read as it passes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use switchboard_kit::twilio::CallOutcome;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// How long a client is held while no process listens.
const HELD: Duration = Duration::from_secs(5);

/// Audio on one media stream.
#[derive(Clone, Copy, Debug)]
struct Spoken {
    first: Instant,
    last: Instant,
    process: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    process: u32,
    address: SocketAddr,
}

/// The proxy; ends with the test.
pub(crate) struct FrontProxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: watch::Sender<Option<Target>>,
    /// Whether clients wait while there is no target.
    holds: Mutex<bool>,
    /// Processes to which no connection is left open.
    cut: watch::Sender<u32>,
    spoken: Mutex<BTreeMap<String, Spoken>>,
    trouble: Mutex<Vec<String>>,
}

impl FrontProxy {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: watch::Sender::new(None),
            holds: Mutex::new(true),
            cut: watch::Sender::new(0),
            spoken: Mutex::default(),
            trouble: Mutex::default(),
        });
        let kept = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = kept.clone();
                tokio::spawn(async move { shared.lead(client).await });
            }
        });
        Self { address, shared }
    }

    /// From now on clients are led to this process.
    pub(crate) fn leads_to(&self, process: u32, address: SocketAddr) {
        self.shared
            .target
            .send_replace(Some(Target { process, address }));
    }

    /// There is no process for a while: clients are held, or find nobody.
    pub(crate) fn leads_nowhere(&self, holds: bool) {
        *self.shared.holds.lock().unwrap() = holds;
        self.shared.target.send_replace(None);
    }

    /// Cuts every connection to that process and those before it.
    pub(crate) fn cut_off(&self, process: u32) {
        self.shared.cut.send_replace(process);
    }

    /// Whether one call was spoken to by one owner at a time.
    pub(crate) fn one_spoke_at_a_time(&self, outcome: &CallOutcome) -> Result<(), String> {
        let spoken = self.shared.spoken.lock().unwrap();
        let mut before: Option<Spoken> = None;
        for stream in &outcome.streams {
            let Some(now) = spoken.get(&stream.stream_sid) else {
                continue;
            };
            if let Some(before) = before
                && before.last > now.first
            {
                let overlap = before.last - now.first;
                return Err(format!(
                    "I2 {}: process {} still spoke {overlap:?} after process {} had begun",
                    outcome.call_sid, before.process, now.process
                ));
            }
            before = Some(*now);
        }
        Ok(())
    }

    /// Streams on which two processes spoke.
    pub(crate) fn trouble(&self) -> Vec<String> {
        self.shared.trouble.lock().unwrap().clone()
    }
}

impl Shared {
    async fn process(&self) -> Option<(Target, TcpStream)> {
        let began = Instant::now();
        loop {
            let target = *self.target.borrow();
            if let Some(target) = target
                && let Ok(process) = TcpStream::connect(target.address).await
            {
                return Some((target, process));
            }
            let holds = *self.holds.lock().unwrap();
            if !holds || began.elapsed() > HELD {
                return None;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn lead(&self, mut client: TcpStream) {
        let _ = client.set_nodelay(true);
        let Some((target, mut process)) = self.process().await else {
            return;
        };
        let _ = process.set_nodelay(true);
        let (mut from_client, mut to_client) = client.split();
        let (mut from_process, mut to_process) = process.split();
        let has_left = AtomicBool::new(false);
        let up = async {
            let _ = tokio::io::copy(&mut from_client, &mut to_process).await;
            has_left.store(true, Ordering::Relaxed);
            let _ = to_process.shutdown().await;
        };
        let down = async {
            let mut ear = Ear::default();
            let mut chunk = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = from_process.read(&mut chunk).await {
                let stream = ear.media_stream(&chunk[..count]);
                // What is said into a line that is gone, nobody hears.
                if to_client.write_all(&chunk[..count]).await.is_err() {
                    break;
                }
                if let (Some(stream), false) = (stream, has_left.load(Ordering::Relaxed)) {
                    self.note(stream, target.process);
                }
            }
            let _ = to_client.shutdown().await;
        };
        let mut cut = self.cut.subscribe();
        let is_cut = async {
            let _ = cut.wait_for(|process| *process >= target.process).await;
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(up, down) } => {}
            () = is_cut => {}
        }
    }

    fn note(&self, stream: String, process: u32) {
        let now = Instant::now();
        let mut spoken = self.spoken.lock().unwrap();
        let entry = spoken.entry(stream.clone()).or_insert(Spoken {
            first: now,
            last: now,
            process,
        });
        entry.last = now;
        if entry.process != process {
            let words = format!(
                "I2 {stream}: processes {} and {process} spoke",
                entry.process
            );
            self.trouble.lock().unwrap().push(words);
        }
    }
}

/// Hears media messages in a stream of bytes.
#[derive(Default)]
struct Ear {
    rest: Vec<u8>,
}

/// Before the payload of a media message stand its event and its stream.
const HEAD: &[u8] = b"\"event\":\"media\"";
const STREAM: &[u8] = b"\"streamSid\":\"";
const SID: usize = 34;

impl Ear {
    /// The stream of the last media message that begins in this chunk.
    fn media_stream(&mut self, chunk: &[u8]) -> Option<String> {
        self.rest.extend_from_slice(chunk);
        let find = |part: &[u8], in_: &[u8]| in_.windows(part.len()).rposition(|at| at == part);
        let found = find(HEAD, &self.rest).and_then(|_| {
            let at = find(STREAM, &self.rest)? + STREAM.len();
            let sid = self.rest.get(at..at + SID)?;
            Some(String::from_utf8_lossy(sid).into_owned())
        });
        // Enough of the end for a head that comes in two pieces.
        let keep = self.rest.len().saturating_sub(128);
        self.rest.drain(..keep);
        if found.is_some() {
            self.rest.clear();
        }
        found
    }
}

//! What these tests share: a data directory of their own, callers who stay, and figures.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use switchboard_kit::twilio::{CallOutcome, Line, Pace};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

use crate::child::Serving;
use crate::http::{Request, Scrape};
use crate::{ADMIN_TOKEN, SOON, environment, line_to, until};

/// A data directory that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-resume-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The variables of a process that keeps its calls here.
    pub fn variables(
        &self,
        model: &str,
        more: &[(&'static str, String)],
    ) -> BTreeMap<String, String> {
        let mut variables = environment(model, more);
        let folder = self.0.display().to_string();
        variables.insert("SWITCHBOARD_STORE".to_owned(), "sqlite".to_owned());
        variables.insert("SWITCHBOARD_DATA_DIR".to_owned(), folder);
        variables
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Has the variables name an address that is known already.
pub fn at(mut variables: BTreeMap<String, String>, public: SocketAddr) -> BTreeMap<String, String> {
    variables.insert("SWITCHBOARD_LISTEN".to_owned(), public.to_string());
    variables
}

/// An address that stays free while its process is down: below the ports that the system gives to outgoing connections,
/// of which one could otherwise take it, or even connect to itself.
pub fn lasting_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (std::process::id().wrapping_mul(7) + step) % 10_000;
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// What an operator with the token gets.
pub async fn operator(serving: &Serving, method: &str, path: &str) -> crate::http::Reply {
    Request::new(method, path)
        .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .send(serving.admin)
        .await
}

pub async fn metrics(serving: &Serving) -> Scrape {
    Scrape::read(&operator(serving, "GET", "/metrics").await.text())
}

/// How many calls have had so many turns.
pub async fn turned(serving: &Serving, turns: u64) -> usize {
    let listing = operator(serving, "GET", "/admin/calls").await.json();
    let rows = listing["calls"].as_array().cloned().unwrap_or_default();
    let far = rows
        .iter()
        .filter(|row| row["turns"].as_u64() >= Some(turns));
    far.count()
}

/// Waits until so many calls have had so many turns.
pub async fn have_turns(serving: &Serving, calls: usize, turns: u64) {
    until("the calls have had their turns", SOON * 2, async || {
        turned(serving, turns).await >= calls
    })
    .await;
}

/// A call with the moment it began, so that its times can be compared with others.
pub struct Timed {
    pub began: Instant,
    pub outcome: CallOutcome,
}

impl Timed {
    /// When the agent was first heard on the n-th stream.
    pub fn heard_on(&self, stream: usize) -> Option<Instant> {
        let stream = self.outcome.streams.get(stream)?;
        let ms = stream.started_ms + stream.first_audio_ms?;
        Some(self.began + Duration::from_millis(ms))
    }

    /// Milliseconds from the end of each stream to the first sound on the next.
    pub fn gaps_ms(&self) -> Vec<u64> {
        let streams = &self.outcome.streams;
        let gap = |pair: &[switchboard_kit::twilio::StreamOutcome]| {
            let ended = pair[0].started_ms + pair[0].duration_ms;
            let heard = pair[1].started_ms + pair[1].first_audio_ms?;
            Some(heard.saturating_sub(ended))
        };
        streams.windows(2).filter_map(gap).collect()
    }
}

/// The value below which so many in a hundred lie.
pub fn percentile(values: &mut [u64], share: usize) -> u64 {
    values.sort_unstable();
    let index = (values.len() * share).div_ceil(100).max(1) - 1;
    values.get(index).copied().unwrap_or(0)
}

/// A phone line in real time to a process that may be killed: where nobody listens, Twilio takes this document.
pub async fn line_with_fallback(public: SocketAddr, twiml: &'static str) -> Line {
    let standby = standing_document(twiml).await;
    let mut line = line_to(public);
    line.pace = Pace {
        ms_per_second: 1_000,
        ..Pace::fast()
    };
    line.fallback = Some(Url::parse(&format!("http://{standby}/")).unwrap());
    line
}

/// A document that is always there, such as a TwiML Bin at Twilio itself; ends with the test.
pub async fn standing_document(twiml: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 8_192];
                let _ = socket.read(&mut request).await;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{twiml}",
                    twiml.len()
                );
                let _ = socket.write_all(answer.as_bytes()).await;
                let _ = socket.shutdown().await;
            });
        }
    });
    address
}

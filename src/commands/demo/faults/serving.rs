//! The serving process: this executable once more, with `serve`, so that it can be killed.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;

/// How long it may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(15);

/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

const SIGKILL: i32 = 9;

/// Below the ports that systems give to outgoing connections: of those one could be taken while the process is down.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A line of the log of a serving process.
#[derive(Debug)]
pub(super) struct LogLine {
    /// When it was read.
    pub(super) at: Instant,
    /// The line, JSON.
    pub(super) text: String,
}

/// How a serving process is started.
#[derive(Debug)]
pub(super) struct Plan {
    /// The configuration file.
    pub(super) config: PathBuf,
    /// All of its environment.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Where it listens for Twilio.
    pub(super) public: SocketAddr,
    /// Where it listens for the operator.
    pub(super) admin: SocketAddr,
}

/// A running process; killed when dropped.
pub(super) struct Serving {
    child: Child,
    /// Its process id.
    pub(super) pid: u32,
}

impl Plan {
    /// Starts it, and waits until it says that it serves. Its log goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started or does not come up.
    pub(super) async fn start(
        &self,
        log: &mpsc::UnboundedSender<LogLine>,
    ) -> Result<Serving, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .arg("--config")
            .arg(&self.config)
            .arg("serve")
            // Keys and settings of the person who runs the demo are not for it.
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("SWITCHBOARD_LISTEN", self.public.to_string())
            .env("SWITCHBOARD_ADMIN_LISTEN", self.admin.to_string())
            .env("SWITCHBOARD_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the serving process: {error}"))?;
        let stderr = child.stderr.take();
        let (up, is_up) = tokio::sync::oneshot::channel();
        let log = log.clone();
        std::thread::spawn(move || {
            let mut up = Some(up);
            let mut last = String::new();
            for line in stderr
                .into_iter()
                .flat_map(|pipe| BufReader::new(pipe).lines())
            {
                let Ok(text) = line else { break };
                let at = Instant::now();
                if is_serving(&text)
                    && let Some(up) = up.take()
                {
                    // The starter may have gone.
                    let _ = up.send(Ok(()));
                }
                last.clone_from(&text);
                let _ = log.send(LogLine { at, text });
            }
            if let Some(up) = up {
                let _ = up.send(Err(last));
            }
        });
        let pid = child.id();
        let serving = Serving { child, pid };
        match tokio::time::timeout(UP_WITHIN, is_up).await {
            Ok(Ok(Ok(()))) => Ok(serving),
            Ok(Ok(Err(last))) => Err(format!("the serving process did not start: {last}")),
            Ok(Err(_)) | Err(_) => Err(format!(
                "the serving process was not up within {} s",
                UP_WITHIN.as_secs()
            )),
        }
    }
}

fn is_serving(line: &str) -> bool {
    let event = serde_json::from_str::<Value>(line);
    event.is_ok_and(|event| event["msg"] == "serving")
}

impl Serving {
    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When it ended in another way, or not at all.
    pub(super) async fn kill(mut self) -> Result<(), String> {
        self.child
            .kill()
            .map_err(|error| format!("cannot kill process {}: {error}", self.pid))?;
        let began = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.signal() == Some(SIGKILL) => return Ok(()),
                Ok(Some(status)) => {
                    return Err(format!("process {} ended by itself: {status}", self.pid));
                }
                Ok(None) if began.elapsed() > GONE_WITHIN => {
                    return Err(format!("process {} does not die", self.pid));
                }
                Ok(None) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => return Err(format!("process {}: {error}", self.pid)),
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Ours by its id; one that has ended is not signalled again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two addresses that stay free while their process is down.
///
/// # Errors
/// When there are none.
pub(super) fn addresses() -> Result<(SocketAddr, SocketAddr), String> {
    let many = PORTS.end - PORTS.start;
    let first = u16::try_from(std::process::id().wrapping_mul(7) % u32::from(many)).unwrap_or(0);
    let mut free = (0..many)
        .map(|step| PORTS.start + (first + step) % many)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .filter(|address| TcpListener::bind(address).is_ok());
    match (free.next(), free.next()) {
        (Some(public), Some(admin)) => Ok((public, admin)),
        _ => Err("no free port on loopback".to_owned()),
    }
}

/// An absolute path: the process may look for it from anywhere.
///
/// # Errors
/// When the folder is not there.
pub(super) fn absolute(folder: &Path) -> Result<PathBuf, String> {
    let absolute = folder.canonicalize();
    absolute.map_err(|error| format!("--out {}: {error}", folder.display()))
}

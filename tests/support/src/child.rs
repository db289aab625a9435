//! The real binary as a child process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{SOON, times, until};

/// The service's binary. Cargo 1.94 and later name it to the programs they run; it also lies beside their folder.
static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let named = std::env::var_os("CARGO_BIN_EXE_switchboard").map(PathBuf::from);
    named.unwrap_or_else(|| {
        let program = std::env::current_exe().unwrap();
        let profile = program.ancestors().nth(2).unwrap();
        profile.join("switchboard")
    })
});

/// The binary with nothing of our own environment that it would read.
pub fn switchboard(arguments: &[&str]) -> Command {
    let mut command = Command::new(&*BINARY);
    command.args(arguments);
    without_ours(command)
}

/// `switchboard serve` in surroundings that a shell makes: the script ends with `exec "$0" serve`.
pub fn serve_in(shell: &[&str], script: &str) -> Command {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", script]).arg(&*BINARY);
    without_ours(command)
}

fn without_ours(mut command: Command) -> Command {
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        let ours = [
            "SWITCHBOARD_",
            "TWILIO_",
            "OPENAI_",
            "RUST_LOG",
            "PORT",
            "NO_COLOR",
        ];
        if ours.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    // No configuration file of whoever runs the tests.
    command.current_dir(std::env::temp_dir());
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str], environment: &BTreeMap<String, String>) -> Output {
    switchboard(arguments).envs(environment).output().unwrap()
}

/// A running `switchboard serve`.
pub struct Serving {
    child: Child,
    log: Mutex<Log>,
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

impl Serving {
    /// Starts it and waits until it says where it listens.
    pub async fn start(environment: &BTreeMap<String, String>) -> Self {
        Self::start_by(switchboard(&["serve"]), environment).await
    }

    /// The same by a command that becomes it.
    pub async fn start_by(mut command: Command, environment: &BTreeMap<String, String>) -> Self {
        times::watch();
        let (log, written) = Log::begin();
        let child = command
            .envs(environment)
            .env("SWITCHBOARD_LOG_FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(written)
            .spawn()
            .unwrap();
        let mut serving = Self {
            child,
            log: Mutex::new(log),
            public: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        until("the service says where it listens", SOON, async || {
            let ended = serving.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {:?}", serving.lines());
            serving.event("serving").is_some()
        })
        .await;
        let event = serving.event("serving").unwrap();
        serving.public = event["public"].as_str().unwrap().parse().unwrap();
        serving.admin = event["admin"].as_str().unwrap().parse().unwrap();
        serving
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Standard error so far, line by line.
    pub fn lines(&self) -> Vec<String> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.read_on();
        log.lines.clone()
    }

    /// The first event with that message.
    pub fn event(&self, message: &str) -> Option<Value> {
        let lines = self.lines();
        let mut events = lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.find(|event| event["msg"] == message)
    }

    /// How many lines so far have this in them.
    pub fn count(&self, words: &str) -> usize {
        let lines = self.lines();
        lines.iter().filter(|line| line.contains(words)).count()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let killed = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
    }

    /// The exit code, if it has ended.
    pub fn exit_code(&mut self) -> Option<i32> {
        let status = self.child.try_wait().unwrap()?;
        Some(status.code().unwrap_or(-1))
    }

    /// Waits for the end; gives the exit code and how long it took.
    pub async fn ended(&mut self, within: Duration) -> (i32, Duration) {
        let began = Instant::now();
        loop {
            if let Some(code) = self.exit_code() {
                return (code, began.elapsed());
            }
            assert!(began.elapsed() < within, "still running after {within:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends it the usual way, for which there is this bar; gives how long that took.
    pub async fn stop_within(mut self, within: Duration) -> Duration {
        self.signal("TERM");
        let (code, took) = self.ended(times::allowed(within)).await;
        assert_eq!(code, 0);
        took
    }

    /// Ends it the usual way; gives all it wrote to standard error.
    pub async fn stop(mut self) -> Vec<String> {
        self.signal("TERM");
        let (code, _) = self.ended(SOON).await;
        assert_eq!(code, 0);
        self.lines()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Ours by its id; one that has ended is not signalled again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Standard error of a process, in a file: what it wrote before it answered is there when the answer is, whoever of the
/// two runs first.
struct Log {
    file: File,
    read: u64,
    rest: Vec<u8>,
    lines: Vec<String>,
}

impl Log {
    /// An empty one, and where the process writes. The file has no name any more, and goes with both.
    fn begin() -> (Self, File) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-log-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut options = File::options();
        let written = options.create_new(true).append(true).open(&path).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let log = Self {
            file,
            read: 0,
            rest: Vec::new(),
            lines: Vec::new(),
        };
        (log, written)
    }

    fn read_on(&mut self) {
        let mut chunk = [0; 16 * 1024];
        loop {
            let count = self.file.read_at(&mut chunk, self.read).unwrap();
            if count == 0 {
                return;
            }
            self.read += count as u64;
            self.rest.extend_from_slice(&chunk[..count]);
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]);
                self.lines.push(line.into_owned());
            }
        }
    }
}

/// A child that is ended when the test is.
pub struct Helper(pub Child);

impl Helper {
    /// Starts a command and reads its first line of standard output.
    pub fn start(arguments: &[&str]) -> (Self, String) {
        let mut child = switchboard(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = Vec::new();
        let stdout = child.stdout.as_mut().unwrap();
        let mut byte = [0];
        while stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        (Self(child), String::from_utf8(line).unwrap())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! A proxy with the settings that ship, but for addresses and certificates.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use test_support::http::Request;
use test_support::process_fixture::{Folder, lasting_address};
use test_support::{SOON, until};

/// How long a proxy may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Haproxy,
    Nginx,
    Caddy,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
        })
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Haproxy, Self::Nginx, Self::Caddy];

    fn program(self) -> Option<PathBuf> {
        let path = std::env::var("PATH").unwrap_or_default();
        // Where Debian puts servers, also for users without it in their path.
        let folders = path.split(':').chain(["/usr/sbin"]);
        let mut files = folders.map(|folder| Path::new(folder).join(self.to_string()));
        files.find(|file| file.is_file())
    }

    pub(crate) fn is_installed(self) -> bool {
        self.program().is_some()
    }

    fn command(self) -> Command {
        let missing =
            || panic!("{self} is not installed (Debian: apt-get install haproxy nginx caddy)");
        Command::new(self.program().unwrap_or_else(missing))
    }

    pub(crate) fn version(self) -> String {
        let flag = match self {
            Self::Haproxy | Self::Nginx => "-v",
            Self::Caddy => "version",
        };
        let output = self.command().arg(flag).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let is_version = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
        let mut words = text.split([' ', '/', '\n', 'v']);
        words.find(is_version).unwrap_or("?").to_owned()
    }

    /// Whether a reload leaves open sockets alone. Caddy does from 2.7 on, which knows how.
    pub(crate) fn keeps_sockets(self) -> bool {
        self != Self::Caddy || knows_streams(&self.version())
    }
}

fn knows_streams(caddy: &str) -> bool {
    let mut numbers = caddy.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(2), Some(7))
}

/// A running proxy.
pub(crate) struct Proxy {
    kind: Kind,
    child: Child,
    file: PathBuf,
    admin: SocketAddr,
    /// The first instance behind it.
    instance: SocketAddr,
    pub(crate) address: SocketAddr,
    folder: Folder,
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docker")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Puts something in the place of what must be there, once.
fn exchange(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old:?} in\n{text}");
    text.replace(old, new)
}

fn haproxy(address: SocketAddr, instances: &[SocketAddr]) -> String {
    let bind = "bind :443 ssl crt /etc/haproxy/tls/voice.pem alpn http/1.1";
    let mut text = exchange(&shipped("haproxy.cfg"), bind, &format!("bind {address}"));
    for (old, name, how) in [
        ("server a 127.0.0.1:5050 check", "i", "check"),
        ("server a-anyway 127.0.0.1:5050 backup", "anyway", "backup"),
    ] {
        let lines = instances.iter().enumerate();
        let lines = lines.map(|(n, instance)| format!("server {name}{n} {instance} {how}"));
        text = exchange(&text, old, &lines.collect::<Vec<_>>().join("\n\t"));
    }
    text
}

fn nginx(address: SocketAddr, instances: &[SocketAddr], folder: &Path) -> String {
    let folder = folder.display();
    let mut text = shipped("nginx.conf");
    for (old, new) in [
        ("listen 443 ssl;", format!("listen {address};")),
        (
            "ssl_certificate /etc/nginx/tls/fullchain.pem;",
            String::new(),
        ),
        (
            "ssl_certificate_key /etc/nginx/tls/privkey.pem;",
            String::new(),
        ),
        ("pid /run/nginx.pid;", format!("pid {folder}/nginx.pid;")),
    ] {
        text = exchange(&text, old, &new);
    }
    let lines: Vec<_> = instances
        .iter()
        .map(|instance| format!("server {instance} max_fails=0;"))
        .collect();
    text = exchange(
        &text,
        "server 127.0.0.1:5050 max_fails=0;",
        &lines.join("\n"),
    );
    // Files that only root may write elsewhere.
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths.map(|name| format!("{name}_temp_path {folder}/{name};\n"));
    exchange(&text, "http {\n", &format!("http {{\n{}", paths.concat()))
}

fn caddy(admin: SocketAddr) -> String {
    let mut text = shipped("Caddyfile");
    if !Kind::Caddy.keeps_sockets() {
        for line in ["stream_timeout 0", "stream_close_delay 3630s"] {
            text = exchange(&text, &format!("\t{line}\n"), "\n");
        }
    }
    text.replacen("{\n", &format!("{{\n\tadmin {admin}\n"), 1)
}

impl Proxy {
    /// Starts it before these instances, of which one answers, and waits until it passes on.
    pub(crate) async fn start(kind: Kind, instances: &[SocketAddr]) -> Self {
        let folder = Folder::new();
        let (address, admin) = (lasting_address(), lasting_address());
        let file = folder.0.join("proxy.conf");
        let text = match kind {
            Kind::Haproxy => haproxy(address, instances),
            Kind::Nginx => nginx(address, instances, &folder.0),
            Kind::Caddy => caddy(admin),
        };
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let mut command = kind.command();
        match kind {
            Kind::Haproxy => command.args(["-W", "-db", "-f", path]),
            Kind::Nginx => command.args(["-c", path, "-g", "daemon off;"]),
            Kind::Caddy => caddy_command(&mut command, "run", path, address, instances[0], &folder),
        };
        let log = std::fs::File::create(folder.0.join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut proxy = Self {
            kind,
            child,
            file,
            admin,
            instance: instances[0],
            address,
            folder,
        };
        until("the proxy passes on", SOON, async || {
            let ended = proxy.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(proxy.folder.0.join("log"));
            assert!(ended.is_none(), "{kind}: {:?}", log());
            std::net::TcpStream::connect(address).is_ok()
                && Request::new("GET", "/healthz").send(address).await.status == 200
        })
        .await;
        proxy
    }

    /// Has it read its settings again; open sockets should not notice.
    pub(crate) async fn reload(&self) {
        let signal = match self.kind {
            Kind::Haproxy => "-USR2",
            Kind::Nginx => "-HUP",
            Kind::Caddy => {
                // The same text would be no news.
                let text = std::fs::read_to_string(&self.file).unwrap();
                let other = text.replacen("read_header 10s", "read_header 11s", 1);
                std::fs::write(&self.file, other).unwrap();
                let path = self.file.to_str().unwrap();
                let admin = self.admin.to_string();
                let mut command = Kind::Caddy.command();
                // Its placeholders are filled in by this process, not by the one that runs.
                caddy_command(
                    &mut command,
                    "reload",
                    path,
                    self.address,
                    self.instance,
                    &self.folder,
                );
                let done = command.args(["--address", &admin]).output().unwrap();
                assert!(done.status.success(), "{done:?}");
                return;
            }
        };
        let before = self.workers();
        self.signal(signal);
        until("there are other workers", SOON, async || {
            !self.workers().is_subset(&before)
        })
        .await;
    }

    fn workers(&self) -> BTreeSet<u32> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .collect()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args([signal, &id]).status();
    }
}

fn caddy_command<'a>(
    command: &'a mut Command,
    what: &str,
    path: &str,
    address: SocketAddr,
    instance: SocketAddr,
    folder: &Folder,
) -> &'a mut Command {
    command
        .args([what, "--config", path, "--adapter", "caddyfile"])
        .env(
            "SWITCHBOARD_PUBLIC_URL",
            format!("http://spa.example:{}", address.port()),
        )
        .env("SWITCHBOARD_UPSTREAM", instance.to_string())
        .env("HOME", &folder.0)
        .env("XDG_DATA_HOME", &folder.0)
        .env("XDG_CONFIG_HOME", &folder.0)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Asked to end it takes its workers along, which a killed one leaves behind.
        self.signal("-TERM");
        let began = Instant::now();
        while began.elapsed() < ENDS_WITHIN {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The service as a process: started, killed, replaced; and what all of them together have logged.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::front_proxy::FrontProxy;
use super::plan::ProcessFault;
use test_support::child::Serving;
use test_support::http::{Reply, Request, Scrape};
use test_support::process_fixture::{Folder, operator};
use test_support::{ADMIN_TOKEN, SOON};

/// Seconds a process waits for its calls before it hands them over.
const DRAIN: u64 = 1;

/// Open files that come and go with the machine's moods.
const FILES: usize = 8;

const CONFIG: &str = r#"
[limits]
number_calls_per_hour = 0
[agents.spa]
instructions = "You answer the phone of a spa."
greeting = { mode = "model", text = "Greet the caller." }
tools = ["take_number", "charge", "note", "find_times", "book_appointment"]
tool_filler = { mode = "none" }
[tools.take_number]
kind = "http"
description = "Takes a number."
url = "http://ORDER_SERVER/number"
allow_private = true
timeout_ms = 2000
[tools.charge]
kind = "http"
description = "Makes an order."
url = "http://ORDER_SERVER/charge"
effects = true
allow_private = true
timeout_ms = 2000
parameters = { type = "object", properties = { number = { type = "integer" } }, required = ["number"] }
[tools.note]
kind = "http"
description = "Makes a note."
url = "http://ORDER_SERVER/note"
effects = true
idempotent = true
allow_private = true
timeout_ms = 2000
parameters = { type = "object", properties = { number = { type = "integer" } }, required = ["number"] }
[fallback]
say = "We have a technical problem."
dial = "+15550199"
"#;

/// What one process has left behind.
pub(crate) struct Past {
    pub(crate) lines: Vec<String>,
    pub(crate) killed: bool,
}

/// The process of the day, and those before it.
pub(crate) struct Processes {
    pub(crate) folder: Folder,
    pub(crate) variables: BTreeMap<String, String>,
    config: PathBuf,
    order_server: String,
    pub(crate) present: Serving,
    number: u32,
    pub(crate) past: Vec<Past>,
    idle_files: usize,
    /// From a process's end to the next one that serves.
    pub(crate) longest_gap: Duration,
    pub(crate) stops: Stops,
}

/// When nothing could be played, whoever wrote it.
pub(crate) type Stops = Arc<Mutex<Vec<Stop>>>;

/// The process was stopped (SIGSTOP), or one call's phone session was made to do nothing.
pub(crate) struct Stop {
    pub(crate) time: Range<Instant>,
    /// `None`: every call.
    pub(crate) call: Option<String>,
}

impl Stop {
    pub(crate) fn concerns(&self, call: &str) -> bool {
        self.call.as_deref().is_none_or(|stalled| stalled == call)
    }
}

impl Processes {
    pub(crate) async fn start(front_proxy: &FrontProxy, model: &str, order_server: &str) -> Self {
        let folder = Folder::new();
        let config = folder.0.join("switchboard.toml");
        std::fs::write(&config, CONFIG.replace("ORDER_SERVER", order_server)).unwrap();
        let more = [
            ("SWITCHBOARD_CONFIG", config.display().to_string()),
            ("SWITCHBOARD_DRAIN_SECONDS", DRAIN.to_string()),
        ];
        let variables = folder.variables(model, &more);
        let present = Serving::start(&variables).await;
        front_proxy.leads_to(1, present.public);
        let idle_files = files_at_rest(&present).await;
        Self {
            folder,
            variables,
            config,
            order_server: order_server.to_owned(),
            present,
            number: 1,
            past: Vec::new(),
            idle_files,
            longest_gap: Duration::ZERO,
            stops: Stops::default(),
        }
    }

    /// What an operator gets from the process of the day; nothing if it does not answer.
    pub(crate) async fn operator(&self, method: &str, path: &str, body: &str) -> Option<Reply> {
        let request = Request::new(method, path)
            .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
            .body(body);
        let asking = tokio::spawn(request.send(self.present.admin));
        asking.await.ok()
    }

    /// Remembers a stall of a call's phone session that was ordered just now.
    pub(crate) fn phone_stalls(&self, call: &str, order: &str) {
        let order: Value = serde_json::from_str(order).unwrap();
        if order["kind"] == "stall_phone" {
            let now = Instant::now();
            let length = Duration::from_millis(order["ms"].as_u64().unwrap());
            self.stops.lock().unwrap().push(Stop {
                time: now..now + length,
                call: Some(call.to_owned()),
            });
        }
    }

    async fn next(&mut self, front_proxy: &FrontProxy) -> Serving {
        let next = Serving::start(&self.variables).await;
        self.number += 1;
        front_proxy.leads_to(self.number, next.public);
        std::mem::replace(&mut self.present, next)
    }

    async fn leave(&mut self, mut old: Serving) {
        let (code, _) = old.ended(SOON).await;
        assert_eq!(code, 0, "a process that was asked to leave");
        self.past.push(Past {
            lines: old.lines(),
            killed: false,
        });
    }

    pub(crate) async fn strike(&mut self, fault: ProcessFault, front_proxy: &FrontProxy) {
        match fault {
            ProcessFault::Kill { held } => {
                front_proxy.leads_nowhere(held);
                let began = Instant::now();
                self.present.signal("KILL");
                self.present.ended(SOON).await;
                let old = self.next(front_proxy).await;
                self.longest_gap = self.longest_gap.max(began.elapsed());
                self.past.push(Past {
                    lines: old.lines(),
                    killed: true,
                });
            }
            ProcessFault::Restart => {
                self.present.signal("TERM");
                let (code, _) = self.present.ended(SOON).await;
                assert_eq!(code, 0, "a process that was asked to leave");
                let began = Instant::now();
                let old = self.next(front_proxy).await;
                self.longest_gap = self.longest_gap.max(began.elapsed());
                self.past.push(Past {
                    lines: old.lines(),
                    killed: false,
                });
            }
            ProcessFault::Roll => {
                let old = self.next(front_proxy).await;
                old.signal("TERM");
                self.leave(old).await;
            }
            ProcessFault::Freeze { ms } => {
                let (began, length) = (Instant::now(), Duration::from_millis(ms));
                self.stops.lock().unwrap().push(Stop {
                    time: began..began + length,
                    call: None,
                });
                self.present.signal("STOP");
                tokio::time::sleep(length).await;
                self.present.signal("CONT");
            }
            ProcessFault::Sleeper { ms } => {
                self.present.signal("STOP");
                let number = self.number;
                let old = self.next(front_proxy).await;
                front_proxy.cut_off(number);
                tokio::time::sleep(Duration::from_millis(ms)).await;
                old.signal("CONT");
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                old.signal("TERM");
                self.leave(old).await;
            }
            ProcessFault::Reload { good } => {
                let mut config = CONFIG.replace("ORDER_SERVER", &self.order_server);
                if !good {
                    config.push_str("[agents.spa.nonsense\n");
                }
                std::fs::write(&self.config, config).unwrap();
                self.present.signal("HUP");
                tokio::time::sleep(Duration::from_millis(500)).await;
                // Another start needs a file that is good.
                std::fs::write(
                    &self.config,
                    CONFIG.replace("ORDER_SERVER", &self.order_server),
                )
                .unwrap();
            }
        }
    }

    /// I4: what is left in the last process when all calls are over; then it is asked to leave.
    pub(crate) async fn nothing_is_left(mut self) -> (Vec<Past>, Vec<String>) {
        let mut trouble = Vec::new();
        let began = Instant::now();
        loop {
            trouble.clear();
            let rows = operator(&self.present, "GET", "/admin/calls").await.json();
            if rows["count"] != 0 {
                trouble.push(format!("I4: live rows {rows}"));
            }
            let text = operator(&self.present, "GET", "/metrics").await.text();
            let live = Scrape::read(&text).sum("switchboard_calls_active");
            if live != 0.0 {
                trouble.push(format!("I4: {live} calls in the gauge"));
            }
            let open = files(&self.present);
            if open > self.idle_files + FILES {
                trouble.push(format!(
                    "I4: {open} open files, {} when idle: {:?}",
                    self.idle_files,
                    kinds_of_files(&self.present)
                ));
            }
            if trouble.is_empty() || began.elapsed() > SOON {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.present.signal("TERM");
        let (code, _) = self.present.ended(SOON).await;
        if code != 0 {
            trouble.push(format!("I4: the last process left with {code}"));
        }
        self.past.push(Past {
            lines: self.present.lines(),
            killed: false,
        });
        (self.past, trouble)
    }
}

/// How many of each kind, without the numbers in their names.
fn kinds_of_files(serving: &Serving) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    let folder = format!("/proc/{}/fd", serving.id());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = std::fs::read_link(entry.path()).unwrap_or_default();
        let name = name.display().to_string();
        let kind = name.split(":[").next().unwrap_or_default();
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    kinds
}

/// Open files of a process whose threads have all begun.
async fn files_at_rest(serving: &Serving) -> usize {
    let (mut count, mut times) = (0, 0);
    while times < 10 {
        let now = files(serving);
        times = if now == count { times + 1 } else { 0 };
        count = now;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    count
}

fn files(serving: &Serving) -> usize {
    let folder = format!("/proc/{}/fd", serving.id());
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

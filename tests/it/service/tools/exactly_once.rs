//! Effects happen once: the process is killed at every step, another one takes the call over and runs what it finds
//! under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use call_protocol::tool::{ToolFinished, ToolResult};
use futures_util::future::BoxFuture;
use switchboard_actors::metrics::Metrics;
use switchboard_actors::store::CallStore;
use switchboard_actors::tools::{Outcome, Place, Tool, ToolBox, ToolRequest};

use crate::service::tools::journal::{Dies, Journal};
use crate::service::tools::single_tool::{Made, caller, made, on_a_worker, run, spec};
use test_support::tool_server::{Does, ToolServer};

/// Where the first process dies: at a step of the journal, or while the server has the request.
#[derive(Clone, Copy, Debug)]
enum Kill {
    Journal(Dies),
    Server {
        done: bool,
    },
    /// Not at all; the model repeats its wish in the next process.
    Nowhere,
}

const KILLS: [(&str, Kill); 7] = [
    (
        "before the journal is written",
        Kill::Journal(Dies::BeforeBegin),
    ),
    (
        "journal written, nothing sent",
        Kill::Journal(Dies::AfterBegin),
    ),
    ("sent, not done", Kill::Server { done: false }),
    ("done, not answered", Kill::Server { done: true }),
    (
        "answered, outcome not written",
        Kill::Journal(Dies::BeforeFinish),
    ),
    (
        "outcome written, not told",
        Kill::Journal(Dies::AfterFinish),
    ),
    ("told", Kill::Nowhere),
];

struct Told {
    finished: ToolFinished,
    effects: u32,
    /// Effects after the caller was asked back and wished it once more, where nothing had been done.
    in_the_end: u32,
}

/// Kills a process there; another one runs the same wish again.
async fn killed(kill: Kill, knows_its_key: bool) -> Told {
    let journal = Journal::new();
    let first_does = match kill {
        Kill::Server { done: false } => Does::Hangs,
        Kill::Server { done: true } => Does::HangsWhenDone,
        Kill::Journal(_) | Kill::Nowhere => Does::json(r#"{"code":"A7"}"#),
    };
    let server = ToolServer::start([first_does]).await;
    if knows_its_key {
        server.remembers_keys();
    }
    let process = |dies| {
        let store = Arc::new(journal.in_process(dies));
        let mut tool = Made {
            store: Some(store),
            effects: true,
            ..made(&server.url())
        };
        tool.http.knows_its_key = knows_its_key;
        tool.boxed()
    };
    let dies = match kill {
        Kill::Journal(dies) => dies,
        Kill::Server { .. } | Kill::Nowhere => Dies::Never,
    };
    // Dropped in the middle, as a process that is killed drops everything.
    let first = process(dies);
    let lived = tokio::time::timeout(
        Duration::from_millis(250),
        first.run(run(true, 0), caller()),
    )
    .await;
    assert_eq!(lived.is_ok(), matches!(kill, Kill::Nowhere), "{kill:?}");
    drop(first);
    server.now_does(Does::json(r#"{"code":"A7"}"#));
    let second = process(Dies::Never);
    let finished = second.run(run(true, 0), caller()).await;
    let effects = server.effects();
    // Asked back: the caller looks into their mail, finds nothing, and wishes it again.
    if finished.result == ToolResult::Unknown && effects == 0 {
        let again = second.run(run(true, 1), caller()).await;
        assert_eq!(again.result, ToolResult::Ok);
    }
    Told {
        finished,
        effects,
        in_the_end: server.effects(),
    }
}

fn in_words(result: ToolResult) -> &'static str {
    match result {
        ToolResult::Ok => "the outcome",
        ToolResult::Repeated => "the first outcome",
        ToolResult::Unknown => "not known, asked back",
        _ => "something else",
    }
}

#[test]
fn whenever_the_process_is_killed_the_effect_happens_once() {
    on_a_worker(async {
        println!(
            "{:<34} {:<13} {:<9} {:<24} in the end",
            "killed", "server", "effects", "told"
        );
        for knows_its_key in [true, false] {
            for (name, kill) in KILLS {
                let told = killed(kill, knows_its_key).await;
                let server = if knows_its_key {
                    "knows the key"
                } else {
                    "does not"
                };
                println!(
                    "{name:<34} {server:<13} {:<9} {:<24} {}",
                    told.effects,
                    in_words(told.finished.result),
                    told.in_the_end
                );
                assert_eq!(told.in_the_end, 1, "{name}");
                assert!(told.effects <= 1, "{name}");
                let result = told.finished.result;
                if matches!(kill, Kill::Nowhere | Kill::Journal(Dies::AfterFinish)) {
                    assert_eq!(result, ToolResult::Repeated, "{name}: it was written down");
                }
                match result {
                    ToolResult::Ok | ToolResult::Repeated => {
                        assert_eq!(told.effects, 1, "{name}");
                        assert_eq!(told.finished.output, r#"{"code":"A7"}"#, "{name}");
                    }
                    ToolResult::Unknown => {
                        assert!(!knows_its_key, "{name}: it could have been asked");
                        assert!(
                            told.finished
                                .output
                                .contains("not known whether this was done")
                        );
                    }
                    _ => panic!("{name}: {result:?}"),
                }
            }
        }
    });
}

/// Counts, slowly; or panics.
struct Counting {
    count: Arc<AtomicU32>,
    panics: bool,
}

impl Tool for Counting {
    fn run(&self, _: ToolRequest) -> BoxFuture<'static, Outcome> {
        let count = self.count.clone();
        assert!(!self.panics, "a tool that fails");
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(format!(r#"{{"number":{number}}}"#))
        })
    }
}

fn counting(panics: bool, journal: impl Into<Option<Journal>>) -> (Arc<ToolBox>, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let metrics = Arc::new(Metrics::new("itest").unwrap());
    let store = journal
        .into()
        .map(|journal| Arc::new(journal) as Arc<dyn CallStore>);
    let mut tools = ToolBox::new(None, store, metrics);
    let tool = Counting {
        count: count.clone(),
        panics,
    };
    tools
        .add(
            spec("it", true, Duration::from_secs(1)),
            Place::Local(Arc::new(tool)),
        )
        .unwrap();
    (Arc::new(tools), count)
}

#[test]
fn the_same_wish_at_the_same_time_is_one_effect_with_one_outcome() {
    on_a_worker(async {
        let (tools, count) = counting(false, Journal::new());
        let runs = (0..20).map(|_| tools.run(run(true, 0), caller()));
        let finished = futures_util::future::join_all(runs).await;
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert!(finished.iter().all(|run| run.output == r#"{"number":1}"#));
        let firsts = finished.iter().filter(|run| run.result == ToolResult::Ok);
        assert_eq!(firsts.count(), 1);
        println!("20 runs of one wish at once: 1 effect, 20 answers");
    });
}

#[test]
fn a_process_without_a_journal_remembers_its_own_effects() {
    on_a_worker(async {
        let (tools, count) = counting(false, None);
        for result in [ToolResult::Ok, ToolResult::Repeated, ToolResult::Repeated] {
            let finished = tools.run(run(true, 0), caller()).await;
            assert_eq!(finished.result, result);
            assert_eq!(finished.output, r#"{"number":1}"#);
        }
        let finished = tools.run(run(true, 1), caller()).await;
        assert_eq!(finished.output, r#"{"number":2}"#, "another wish");
        assert_eq!(count.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn without_its_journal_no_effect_is_begun() {
    on_a_worker(async {
        let mut journal = Journal::new();
        journal.away = true;
        let (tools, count) = counting(false, journal);
        let finished = tools.run(run(true, 0), caller()).await;
        assert_eq!(finished.result, ToolResult::Failed);
        assert_eq!(count.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_tool_that_panics_costs_itself_and_is_not_run_again() {
    on_a_worker(async {
        let (tools, _) = counting(true, Journal::new());
        let finished = tools.run(run(true, 0), caller()).await;
        assert_eq!(finished.result, ToolResult::Panicked);
        let again = tools.run(run(true, 0), caller()).await;
        assert_eq!(
            again.result,
            ToolResult::Unknown,
            "the line in the journal stays open"
        );
    });
}

#[test]
fn what_was_begun_before_is_not_said_to_have_failed_while_nobody_can_be_asked() {
    on_a_worker(async {
        // Begun by a process that died; the server, which knows the key, is away when the next one asks.
        let journal = Journal::new();
        let server = ToolServer::start([Does::HangsWhenDone]).await;
        server.remembers_keys();
        let process = |url: &str| {
            let mut tool = Made {
                store: Some(Arc::new(journal.in_process(Dies::Never))),
                effects: true,
                ..made(url)
            };
            tool.http.knows_its_key = true;
            tool.boxed()
        };
        let first = process(&server.url());
        let begun = first.run(run(true, 0), caller());
        assert!(
            tokio::time::timeout(Duration::from_millis(250), begun)
                .await
                .is_err()
        );
        drop(first);
        let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nowhere.local_addr().unwrap();
        drop(nowhere);
        let finished = process(&format!("http://{address}/"))
            .run(run(true, 0), caller())
            .await;
        assert_eq!(finished.result, ToolResult::Unknown, "{}", finished.output);
        // The line in the journal stays open: when the server is there again, it tells.
        server.now_does(Does::json(r#"{"code":"A7"}"#));
        let finished = process(&server.url()).run(run(true, 0), caller()).await;
        assert_eq!(
            (finished.result, finished.output.as_str()),
            (ToolResult::Ok, r#"{"code":"A7"}"#)
        );
        assert_eq!(server.effects(), 1);

        // The same where the journal is away: begun for the first time it has failed, begun before it is unknown.
        for (again, result) in [(false, ToolResult::Failed), (true, ToolResult::Unknown)] {
            let mut journal = Journal::new();
            journal.away = true;
            let (tools, count) = counting(false, journal);
            let mut wish = run(true, 0);
            wish.again = again;
            assert_eq!(tools.run(wish, caller()).await.result, result);
            assert_eq!(count.load(Ordering::SeqCst), 0);
        }
        println!(
            "begun before, nobody to be asked: unknown, and told when somebody is there again; 1 effect"
        );
    });
}

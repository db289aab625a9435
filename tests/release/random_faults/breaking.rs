//! Carries the plan out: whom a fault strikes is looked up when it is due, among those who are there.

use std::collections::BTreeMap;
use std::time::Instant;

use switchboard_kit::chaos::{Chaos, Passage};
use switchboard_kit::realtime::Running;

use super::front_proxy::FrontProxy;
use super::plan::{Fault, Planned};
use super::process::Processes;

/// What can be broken.
pub(crate) struct Breakable<'a> {
    pub(crate) model: &'a Running,
    pub(crate) to_model: &'a Chaos,
    pub(crate) to_service: &'a Chaos,
    pub(crate) front_proxy: &'a FrontProxy,
}

/// Breaks what the plan says, when it says so; counts what struck somebody.
pub(crate) async fn break_all(
    plan: &[Planned],
    parts: &Breakable<'_>,
    processes: &mut Processes,
    began: Instant,
) -> BTreeMap<String, usize> {
    let mut struck = BTreeMap::new();
    for planned in plan {
        tokio::time::sleep_until((began + planned.at).into()).await;
        if break_one(planned, parts, processes).await {
            *struck.entry(name_of(&planned.fault)).or_default() += 1;
        }
    }
    struck
}

fn name_of(fault: &Fault) -> String {
    let shown = match fault {
        Fault::Call(body) | Fault::Shared(body) => body.clone(),
        Fault::ModelWeather(weather) | Fault::PhoneWeather(weather) => {
            let what = if weather.black_hole {
                "black hole"
            } else {
                "weather"
            };
            format!("{fault:?}")
                .split('(')
                .next()
                .unwrap_or_default()
                .to_owned()
                + " "
                + what
        }
        _ => format!("{fault:?}"),
    };
    // The kind, without its figures.
    let words = shown
        .split([' ', '{', '(', ','])
        .filter(|word| !word.is_empty());
    let known =
        words.filter(|word| word.chars().any(char::is_alphabetic) && !word.starts_with("\"ms\""));
    known
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
        .replace(['"', '}', ')'], "")
}

/// One of the connections that are open, as far as the proxy knows.
fn passage(chaos: &Chaos, whom: usize) -> Option<Passage> {
    let passages = chaos.passages();
    // The newest are the ones that still stand.
    let newest = &passages[passages.len().saturating_sub(40)..];
    newest.get(whom % newest.len().max(1)).cloned()
}

async fn break_one(planned: &Planned, parts: &Breakable<'_>, processes: &mut Processes) -> bool {
    let whom = planned.whom;
    match &planned.fault {
        Fault::Model(fault) => {
            let sessions = parts.model.sessions();
            let open: Vec<_> = sessions
                .iter()
                .filter(|session| session.ended().is_none())
                .collect();
            let Some(session) = open.get(whom % open.len().max(1)) else {
                return false;
            };
            parts.model.faults().nth(session.number(), fault.clone());
            true
        }
        Fault::NextModel(fault) => {
            parts.model.faults().next(fault.clone());
            true
        }
        Fault::ModelWeather(weather) | Fault::PhoneWeather(weather) => {
            let chaos = match planned.fault {
                Fault::ModelWeather(_) => parts.to_model,
                _ => parts.to_service,
            };
            let passage = passage(chaos, whom);
            passage
                .as_ref()
                .inspect(|passage| passage.weather(*weather))
                .is_some()
        }
        Fault::ModelCut(cut) | Fault::PhoneCut(cut) => {
            let chaos = match planned.fault {
                Fault::ModelCut(_) => parts.to_model,
                _ => parts.to_service,
            };
            let passage = passage(chaos, whom);
            passage
                .as_ref()
                .inspect(|passage| passage.cut(*cut))
                .is_some()
        }
        Fault::Call(body) => {
            let Some(list) = processes.operator("GET", "/admin/calls", "").await else {
                return false;
            };
            let list = list.json();
            let rows = list["calls"].as_array().cloned().unwrap_or_default();
            let Some(call) = rows
                .get(whom % rows.len().max(1))
                .and_then(|row| row["call_sid"].as_str())
            else {
                return false;
            };
            let path = format!("/admin/calls/{call}/fault");
            let answer = processes.operator("POST", &path, body).await;
            let strikes = answer.is_some_and(|answer| answer.status == 202);
            if strikes {
                processes.phone_stalls(call, body);
            }
            strikes
        }
        Fault::Shared(body) => {
            let answer = processes.operator("POST", "/admin/fault", body).await;
            if body.contains("metrics") {
                let scrape = processes.operator("GET", "/metrics", "").await;
                assert!(scrape.is_none_or(|scrape| scrape.status == 500));
            }
            answer.is_some_and(|answer| answer.status == 202)
        }
        Fault::Process(fault) => {
            processes.strike(*fault, parts.front_proxy).await;
            true
        }
    }
}

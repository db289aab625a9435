//! I1: each answered call ends with exactly one record. What stands for a record is the log: of each owner one line,
//! and of each call one that is the last.

use std::collections::BTreeMap;

use serde_json::Value;
use switchboard_kit::twilio::CallOutcome;

use super::process::Past;

/// Ends of an owner after which another one goes on with the call.
const GOES_ON: [&str; 7] = [
    "handed_over",
    "phone_lost",
    "stream_failed",
    "superseded",
    UNCONFIRMED,
    "panicked",
    "killed",
];

/// The reason of an owner that left before the store had said whose the call was.
const UNCONFIRMED: &str = "unconfirmed";

/// The reason of the last line of a call that nobody had any more.
const GONE: &str = "gone_meanwhile";

/// One media socket of a call, in one process.
#[derive(Debug)]
struct Owner {
    process: usize,
    accepted: String,
    stream: Option<String>,
    end: Option<String>,
    /// It was ordered to take no messages, and may not have heard that its process leaves.
    stalled: bool,
    /// Its stream was lost, and another one may take its place.
    away: bool,
}

/// What all processes together have logged of one call.
#[derive(Debug, Default)]
struct Lineage {
    owners: Vec<Owner>,
    /// Last lines by a process that did not own it.
    gone: usize,
}

/// Figures of the whole run.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) answered: usize,
    pub(crate) owners: usize,
    pub(crate) unreported: usize,
    pub(crate) unconfirmed: usize,
    pub(crate) ends: BTreeMap<String, usize>,
    pub(crate) trouble: Vec<String>,
    /// Lines of warnings and errors by their words.
    pub(crate) complaints: BTreeMap<String, usize>,
}

pub(crate) fn read(past: &[Past], calls: &[CallOutcome]) -> Records {
    let mut records = Records::default();
    let mut lineages: BTreeMap<String, Lineage> = BTreeMap::new();
    for (process, one) in past.iter().enumerate() {
        for line in &one.lines {
            let Ok(event) = serde_json::from_str::<Value>(line) else {
                // A process that was killed may have been in the middle of a line.
                if !one.killed {
                    records.trouble.push(format!("no JSON in the log: {line}"));
                }
                continue;
            };
            records.note(process, &event, &mut lineages);
        }
        for lineage in lineages.values_mut() {
            for owner in &mut lineage.owners {
                let died = one.killed || owner.stalled;
                if owner.end.is_none() && owner.process == process && died {
                    owner.end = Some("killed".to_owned());
                }
            }
        }
    }
    let unheard = |call: &str| is_unheard(call, calls);
    for (call, mut lineage) in lineages {
        lineage.owners.sort_by(|a, b| a.accepted.cmp(&b.accepted));
        if lineage.owners.iter().any(|owner| owner.stream.is_some()) {
            records.answered += 1;
            records.owners += lineage.owners.len();
            records.judge(&call, &lineage, unheard(&call));
        }
    }
    records
}

/// Whether no process has taken Twilio's word that the call is over: nobody knows of its end, and what is written down of
/// it goes when its time is over.
pub(crate) fn is_unheard(call: &str, calls: &[CallOutcome]) -> bool {
    let outcome = calls.iter().find(|outcome| outcome.call_sid == call);
    outcome.is_none_or(|outcome| {
        !outcome
            .callbacks
            .iter()
            .any(|callback| callback.url.ends_with("/call-status") && callback.answer == Ok(204))
    })
}

/// Prints what the log has of the call that these words are about.
pub(crate) fn show(words: &str, past: &[Past]) {
    let Some(call) = words.find("CA").and_then(|at| words.get(at..at + 34)) else {
        return;
    };
    println!("{words}");
    for (process, one) in past.iter().enumerate() {
        let of_the_call = |line: &String| line.contains(call);
        let (Some(first), Some(last)) = (
            one.lines.iter().position(of_the_call),
            one.lines.iter().rposition(of_the_call),
        ) else {
            continue;
        };
        // A fault of another call on the same thread is felt by this one.
        let matters = |line: &&String| of_the_call(line) || line.contains("fault put into");
        for line in one.lines[first..=last].iter().filter(matters) {
            println!("  process {process} {line}");
        }
    }
}

impl Records {
    fn note(&mut self, process: usize, event: &Value, lineages: &mut BTreeMap<String, Lineage>) {
        let text = |key: &str| event[key].as_str().unwrap_or_default();
        if matches!(text("level"), "warn" | "error") {
            *self.complaints.entry(text("msg").to_owned()).or_default() += 1;
        }
        if text("msg") == "panic" && !text("cause").starts_with("fault hook: ") {
            self.trouble
                .push(format!("I4: a panic that nobody ordered: {event}"));
        }
        let call = text("call_sid");
        if !call.starts_with("CA") {
            return;
        }
        let stream = Some(text("stream_sid").to_owned()).filter(|stream| stream != "-");
        let here = |owner: &&mut Owner| owner.process == process && owner.end.is_none();
        let lineage = lineages.entry(call.to_owned()).or_default();
        let mut owners = lineage.owners.iter_mut().rev().filter(here);
        match text("msg") {
            "media socket accepted" => lineage.owners.push(Owner {
                process,
                accepted: text("ts").to_owned(),
                stream: None,
                end: None,
                stalled: false,
                away: false,
            }),
            "media socket lost, waiting for another" => {
                if let Some(owner) = owners.find(|owner| owner.stream == stream) {
                    owner.away = true;
                }
            }
            // The first one, or one in the place of a stream that was lost.
            "start" => match owners.find(|owner| owner.stream.is_none() || owner.away) {
                Some(owner) => {
                    owner.stream = stream;
                    owner.away = false;
                }
                None => self
                    .trouble
                    .push(format!("I1 {call}: a start without an owner")),
            },
            "stop" if text("reason") == GONE => {
                lineage.gone += 1;
                *self.ends.entry(GONE.to_owned()).or_default() += 1;
            }
            "stop" => {
                let reason = text("reason");
                *self.ends.entry(reason.to_owned()).or_default() += 1;
                // An actor that dies while its end waits for the store has its end told all the same.
                let waited = |owner: &&mut Owner| {
                    let died = owner.end.as_deref() == Some("panicked");
                    owner.process == process && (owner.end.is_none() || died)
                };
                let mut owners = lineage.owners.iter_mut().rev().filter(waited);
                match owners.find(|owner| owner.stream == stream) {
                    Some(owner) => {
                        owner.end = Some(reason.to_owned());
                    }
                    None => {
                        let words =
                            format!("I1 {call}: a second stop line of {stream:?}, {reason}");
                        self.trouble.push(words);
                    }
                }
            }
            "fault put into a call by the operator" => {
                let stalls = text("fault").starts_with("StallActor");
                if let Some(owner) = owners.next() {
                    owner.stalled |= stalls;
                }
            }
            "call actor died by a panic" => {
                *self.ends.entry("panicked".to_owned()).or_default() += 1;
                if let Some(owner) = owners.next() {
                    owner.end = Some("panicked".to_owned());
                }
            }
            _ => {}
        }
    }

    fn judge(&mut self, call: &str, lineage: &Lineage, unheard: bool) {
        let begun = lineage.owners.iter().filter(|owner| owner.stream.is_some());
        let begun: Vec<&Owner> = begun.collect();
        let Some(last) = begun.last() else {
            return;
        };
        let goes_on = |owner: &Owner| {
            let end = owner.end.as_deref();
            end.is_some_and(|end| GOES_ON.contains(&end))
        };
        if let Some(owner) = lineage.owners.iter().find(|owner| owner.end.is_none()) {
            self.trouble
                .push(format!("I1 {call}: no stop line of {owner:?}"));
            return;
        }
        // One that slept while another took over may find any reason to end when it wakes; it is not its own to tell.
        for owner in &begun[..begun.len() - 1] {
            if !goes_on(owner) {
                self.trouble.push(format!(
                    "I1 {call}: it went on after {owner:?}: {lineage:?}"
                ));
            }
        }
        let finals = usize::from(!goes_on(last)) + lineage.gone;
        match finals {
            1 => {}
            0 if unheard => self.unreported += 1,
            0 if last.end.as_deref() == Some(UNCONFIRMED) => self.unconfirmed += 1,
            _ => self
                .trouble
                .push(format!("I1 {call}: {finals} final lines: {lineage:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CALL: &str = "CA00000000000000000000000000000001";

    fn line(msg: &str, stream: &str, reason: &str) -> String {
        json!({"ts": "2026-11-22T10:00:00.000Z", "level": "info", "msg": msg, "call_sid": CALL, "stream_sid": stream, "reason": reason})
            .to_string()
    }

    /// A line's message, stream and reason.
    type Said = (&'static str, &'static str, &'static str);

    /// What is wrong with the logs of these processes, of which some were killed.
    fn trouble_of(processes: &[(&[Said], bool)]) -> Vec<String> {
        let past: Vec<Past> = processes
            .iter()
            .map(|(lines, killed)| Past {
                lines: lines
                    .iter()
                    .map(|(msg, stream, reason)| line(msg, stream, reason))
                    .collect(),
                killed: *killed,
            })
            .collect();
        read(&past, &[]).trouble
    }

    const ACCEPTED: Said = ("media socket accepted", "-", "");
    const START: Said = ("start", "MZ1", "");
    const STOP: Said = ("stop", "MZ1", "caller_hung_up");

    #[test]
    fn one_owner_and_one_stop_is_a_record() {
        assert_eq!(
            trouble_of(&[(&[ACCEPTED, START, STOP], false)]),
            [] as [&str; 0]
        );
        let killed: &[_] = &[ACCEPTED, START];
        let gone: &[_] = &[("stop", "-", GONE)];
        assert_eq!(
            trouble_of(&[(killed, true), (gone, false)]),
            [] as [&str; 0]
        );
        assert_eq!(
            trouble_of(&[(killed, true), (&[ACCEPTED, START, STOP], false)]),
            [] as [&str; 0]
        );
    }

    #[test]
    fn an_end_that_waited_for_the_store_outlives_its_actor() {
        let died: Said = ("call actor died by a panic", "-", "");
        assert_eq!(
            trouble_of(&[(&[ACCEPTED, START, died, STOP], false)]),
            [] as [&str; 0]
        );
        let twice = trouble_of(&[(&[ACCEPTED, START, died, STOP, STOP], false)]);
        assert_eq!(twice.len(), 1, "{twice:?}");
    }

    #[test]
    fn two_stops_or_none_are_not() {
        for processes in [
            [(&[ACCEPTED, START, STOP, STOP] as &[_], false)],
            [(&[ACCEPTED, START], false)],
            [(&[ACCEPTED, START, STOP, ("stop", "-", GONE)], false)],
            [(
                &[
                    ACCEPTED,
                    START,
                    STOP,
                    ACCEPTED,
                    ("start", "MZ2", ""),
                    ("stop", "MZ2", "caller_hung_up"),
                ],
                false,
            )],
        ] {
            assert_eq!(trouble_of(&processes).len(), 1, "{processes:?}");
        }
    }
}

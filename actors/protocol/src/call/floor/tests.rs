//! Every event of the floor in every state of it, and every short run of events: no turn has two answers.

use std::fmt::Write as _;
use std::time::Duration;

use super::*;

/// What happens on the floor, as the call hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happens {
    CallerStarts,
    CallerStops,
    CallerStopsOverProtected,
    NobodyHeard,
    Asked,
    AskedFor,
    RequestFails,
    Started,
    Speaks,
    ToolCalled,
    OutputIn,
    DoneWhole,
    DoneEmpty,
    DoneCut,
    DoneFailed,
    RetryDue,
    Cancelled,
    SessionLost,
}

use Happens::*;

const ALL: [Happens; 18] = [
    CallerStarts,
    CallerStops,
    CallerStopsOverProtected,
    NobodyHeard,
    Asked,
    AskedFor,
    RequestFails,
    Started,
    Speaks,
    ToolCalled,
    OutputIn,
    DoneWhole,
    DoneEmpty,
    DoneCut,
    DoneFailed,
    RetryDue,
    Cancelled,
    SessionLost,
];

/// States by the way to them.
const STATES: [(&str, &[Happens]); 14] = [
    ("free", &[]),
    ("caller", &[CallerStarts]),
    ("owed", &[CallerStarts, CallerStops]),
    ("asked", &[Asked]),
    ("asked for words", &[AskedFor]),
    ("runs", &[Started]),
    ("speaks", &[Started, Speaks]),
    ("speaks, asked", &[Started, Speaks, Asked]),
    ("calls a tool", &[Started, ToolCalled]),
    ("waits for a tool", &[Started, ToolCalled, DoneWhole]),
    ("failed", &[Started, DoneFailed]),
    ("failed, tool runs", &[Started, ToolCalled, DoneFailed]),
    (
        "due, tool runs",
        &[Started, ToolCalled, DoneFailed, RetryDue],
    ),
    ("nobody heard", &[NobodyHeard]),
];

/// A floor with what its call would keep beside it.
#[derive(Clone)]
struct Played {
    floor: Floor,
    /// The response that runs.
    running: Option<ModelId>,
    begun: u32,
    /// Responses that wait for outputs of tools.
    open: Vec<ModelId>,
    called: bool,
    /// The timer of a failed answer runs.
    waits: bool,
    /// Requests of ours the server has not begun.
    request: Option<String>,
    /// Reasons for an answer of ours, and answers asked for.
    reasons: u32,
    answers: u32,
}

impl Played {
    fn new() -> Self {
        Self {
            floor: Floor::default(),
            running: None,
            begun: 0,
            open: Vec::new(),
            called: false,
            waits: false,
            request: None,
            reasons: 0,
            answers: 0,
        }
    }

    /// Lets something happen; `None` if it cannot happen now. Says what is asked of the model.
    fn happens(&mut self, event: Happens) -> Option<String> {
        let mut said = Vec::new();
        let ask = |words: Option<&str>| ResponseRequest {
            instructions: words.map(str::to_owned),
        };
        match event {
            CallerStarts => {
                if self.floor.caller_speaks() {
                    return None;
                }
                self.floor.caller_starts();
            }
            CallerStops | CallerStopsOverProtected => {
                if !self.floor.caller_speaks() {
                    return None;
                }
                let is_protected = event == CallerStopsOverProtected;
                self.floor.caller_stops(is_protected, Time::from_millis(7));
            }
            NobodyHeard => self.floor.nobody_heard(),
            Asked | AskedFor => {
                self.reasons += 1;
                let words = (event == AskedFor).then_some("Ask.");
                said.push(self.floor.ask(ask(words)));
            }
            RequestFails => {
                let request = self.request.take()?;
                let request = self.floor.refused(&request, false)?;
                self.reasons += 1;
                let retry = self.floor.fail(request, None, Duration::ZERO);
                self.waits |= matches!(retry, Retry::After(_));
            }
            Started => {
                if self.running.is_some() {
                    return None;
                }
                self.begun += 1;
                self.called = false;
                let response = ModelId::new(&format!("resp_{}", self.begun));
                said.push(self.floor.started(&response));
                self.running = Some(response);
            }
            Speaks => {
                let response = self.running.clone()?;
                if self.floor.verdict(&response) == Verdict::Play {
                    self.floor.speaks(&response);
                    self.floor.answered_by(&response);
                    let _ = self.floor.audio_left();
                }
            }
            ToolCalled => {
                let response = self.running.clone()?;
                if self.called {
                    return None;
                }
                self.called = true;
                self.floor.tools_called(&response);
                self.open.push(response);
            }
            OutputIn => {
                if self.open.is_empty() {
                    return None;
                }
                self.open.remove(0);
                said.push(self.hand_in());
            }
            DoneWhole | DoneEmpty | DoneCut | DoneFailed => {
                let response = self.running.take()?;
                let ending = if event == DoneEmpty {
                    Ending::Empty
                } else if event == DoneCut {
                    Ending::Cut(ask(Some("Go on.")), 2)
                } else if event == DoneFailed {
                    Ending::Failed(Duration::ZERO)
                } else {
                    Ending::Whole
                };
                if event == DoneEmpty && self.called {
                    return None;
                }
                self.reasons += u32::from(event != DoneWhole || self.called);
                let awaits_tools = self.open.contains(&response);
                let (next, retry) = self.floor.done(Over {
                    response: &response,
                    ending,
                    awaits_tools,
                    tool_words: None,
                    is_followed: false,
                });
                self.waits |= matches!(retry, Some(Retry::After(_)));
                said.push(self.hand_in());
                said.push(next);
            }
            RetryDue => {
                if !std::mem::take(&mut self.waits) {
                    return None;
                }
                said.push(self.floor.retry_due());
            }
            Cancelled => {
                said.push(self.floor.cancel(false));
                self.waits = false;
            }
            SessionLost => {
                self.floor.lost_session();
                self.floor.break_off(true);
                self.floor.forget_tools(!self.open.is_empty());
                self.floor.begin_session();
                self.open.clear();
                (self.running, self.waits, self.request) = (None, false, None);
            }
        }
        let mut text = Vec::new();
        for command in said.into_iter().flatten() {
            if let ModelCommand::Respond {
                request,
                instructions,
            } = command
            {
                self.answers += 1;
                text.push(format!("respond {}", instructions.unwrap_or_default()));
                self.request = Some(request);
            } else {
                let is_cancel = matches!(command, ModelCommand::Cancel { .. });
                assert!(is_cancel, "the floor asks for {command:?}");
                text.push("cancel".to_owned());
            }
        }
        Some(text.join(", "))
    }

    fn hand_in(&mut self) -> Option<ModelCommand> {
        let open = self.open.clone();
        self.floor
            .tools_answered(|response| open.contains(response), None)
    }

    fn reached(path: &[Happens]) -> Self {
        let mut played = Self::new();
        for event in path {
            played.happens(*event).expect("a way that can be gone");
        }
        played
    }
}

const SILENT: Around = Around {
    session: Session::Ready,
    unheard: Unheard::Nothing,
    tool_runs: false,
    ends: false,
};

#[test]
fn every_event_has_a_defined_result_in_every_state_of_the_floor() {
    let mut table = String::from(
        "in                  event                     holder  owed  free  quiet  asked of the model\n",
    );
    for (state, path) in STATES {
        for event in ALL {
            let mut played = Played::reached(path);
            let Some(said) = played.happens(event) else {
                continue;
            };
            let floor = &played.floor;
            let mark = |is: bool| if is { "yes" } else { "–" };
            let row = format!(
                "{state:<18}  {:<24}  {:<6}  {:<4}  {:<4}  {:<5}  {said}",
                format!("{event:?}"),
                format!("{:?}", floor.who_has_it()),
                mark(floor.owed()),
                mark(floor.is_free()),
                mark(floor.is_quiet(SILENT)),
            );
            let _ = writeln!(table, "{}", row.trim_end());
        }
    }
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots"),
        prepend_module_to_snapshot => false,
    }, {
        insta::assert_snapshot!("floor_states", table);
    });
}

/// Plays every run of events up to a length.
fn every_run(
    played: &Played,
    path: &mut Vec<Happens>,
    left: usize,
    look: &impl Fn(&Played, &[Happens]),
) {
    if left == 0 {
        return;
    }
    for event in ALL {
        let mut next = played.clone();
        if next.happens(event).is_none() {
            continue;
        }
        path.push(event);
        look(&next, path);
        every_run(&next, path, left - 1, look);
        path.pop();
    }
}

#[test]
fn no_turn_has_two_answers() {
    every_run(&Played::new(), &mut Vec::new(), 5, &|played, path| {
        assert!(played.answers <= played.reasons, "{path:?}");
    });
    // Longer ones from where the most is under way.
    for (state, path) in STATES {
        let begun = Played::reached(path);
        every_run(&begun, &mut path.to_vec(), 4, &|played, path| {
            assert!(played.answers <= played.reasons, "{state}: {path:?}");
        });
    }
}

#[test]
fn a_floor_that_is_free_owes_nothing_and_nobody_waits_on_it() {
    every_run(&Played::new(), &mut Vec::new(), 4, &|played, path| {
        let floor = &played.floor;
        if floor.is_free() {
            assert!(!floor.owed() && floor.is_quiet(SILENT), "{path:?}");
            assert!(
                floor.is_said_out(SILENT) && !floor.caller_waits(SILENT),
                "{path:?}"
            );
        }
        if floor.owed() && !floor.caller_speaks() {
            assert!(
                floor.caller_waits(SILENT) && !floor.is_said_out(SILENT),
                "{path:?}"
            );
        }
        assert!(
            !(floor.caller_speaks() && floor.silent_since().is_some()),
            "{path:?}"
        );
    });
}

#[test]
fn an_answer_that_failed_comes_after_the_outputs_of_its_tools_and_after_its_wait() {
    for (events, last) in [
        ([DoneFailed, OutputIn, RetryDue], "respond "),
        ([DoneFailed, RetryDue, OutputIn], "respond "),
        ([OutputIn, DoneFailed, RetryDue], "respond "),
    ] {
        let mut played = Played::reached(&[Started, ToolCalled]);
        let said: Vec<_> = events
            .map(|event| played.happens(event).expect("possible"))
            .to_vec();
        assert_eq!(said, ["", "", last], "{events:?}");
    }
}

#[test]
fn each_place_asks_a_question_of_its_own() {
    let ready = SILENT;
    let heard = Around {
        unheard: Unheard::Words,
        ..ready
    };
    let tool = Around {
        tool_runs: true,
        ..ready
    };
    let lost = Around {
        session: Session::Lost,
        ..ready
    };
    let owed = Played::reached(&[CallerStarts, CallerStops]).floor;
    let free = Floor::default();
    // What follows what is heard may begin; a session is not left in it.
    assert!(free.may_begin(heard) && !free.is_pause(heard));
    assert!(free.may_begin(tool) && !free.is_pause(tool));
    // Silence is broken though an answer is owed; the operator waits for it.
    assert!(owed.is_quiet(ready) && !owed.may_begin(ready));
    // A session that is gone brings no more.
    assert!(!owed.is_said_out(ready) && owed.is_said_out(lost));
    assert!(!free.is_said_out(tool) && !free.is_said_out(heard));
    // An answer that is owed is no sign of life, and is missed when the line breaks; one that failed is neither.
    assert!(!owed.is_attended(ready) && owed.promises_word(ready));
    let failed = Played::reached(&[Started, DoneFailed]).floor;
    assert!(failed.is_attended(ready) && !failed.promises_word(ready));
    // Filler is nobody's word, but something to be heard.
    let filled = Around {
        unheard: Unheard::Filler,
        ..ready
    };
    assert!(owed.caller_waits(filled) && !owed.is_quiet(filled) && !owed.is_said_out(filled));
    assert!(!free.promises_word(filled) && free.promises_word(heard));
}

//! Effects in short form: one word for what is done, and what a reader needs to tell one from another.

use call_protocol::call::effect::{Effect, Report};
use call_protocol::conversation::{Speaker, Turn};
use call_protocol::model::command::{ModelCommand, SessionSetup};

/// Which session an effect is about; of no meaning where it is about none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The session in use.
    Current,
    /// The session that waits to take its place.
    Standby,
    /// The session that the waiting one takes the place of.
    Replaced,
}

/// An effect in short form.
pub(crate) fn short(effect: &Effect, of: Of) -> String {
    match effect {
        Effect::DialModel(_) if of == Of::Standby => "dial_standby".to_owned(),
        Effect::DialModel(_) => "dial".to_owned(),
        Effect::ToModel(_, command) if of == Of::Standby => {
            format!("standby {}", short_command(command))
        }
        Effect::ToModel(_, command) => short_command(command),
        Effect::CloseModel(_) if of == Of::Standby => "close_standby".to_owned(),
        Effect::CloseModel(_) if of == Of::Replaced => "take_standby".to_owned(),
        Effect::CloseModel(_) => "close_model".to_owned(),
        Effect::Play { payload, .. } => format!("play {}", payload.audio_bytes()),
        Effect::Mark { name, .. } => format!("mark {name}"),
        Effect::Clear { .. } => "clear".to_owned(),
        Effect::ClosePhone { code } => format!("close_phone {code}"),
        Effect::RunTool(run) => format!("run {} {}", run.tool, run.canonical),
        Effect::DialConsult(person) => format!("call_person {} {:?}", person.attempt, person.to),
        Effect::EndConsult(person) => format!("end_person answered={}", person.answered),
        Effect::Checkpoint => "checkpoint".to_owned(),
        Effect::Forget => "forget".to_owned(),
        Effect::Stopped(summary) => format!("stopped {}", summary.reason),
        Effect::Report(report) => short_report(report),
    }
}

fn short_command(command: &ModelCommand) -> String {
    match command {
        ModelCommand::Configure { request, setup } => {
            format!("configure {request}{}", how_much(setup))
        }
        ModelCommand::FindTurns { request, turns } => {
            format!("find_turns {request} interrupt={}", turns.interrupts())
        }
        ModelCommand::Append(payload) => format!("append {}", payload.audio_bytes()),
        ModelCommand::Truncate {
            item,
            part,
            heard_ms,
        } => format!("truncate {item}/{part} {heard_ms}"),
        ModelCommand::Delete { item } => format!("delete {item}"),
        ModelCommand::Respond {
            request,
            instructions,
        } => {
            // What the session was told comes first.
            let words = instructions
                .as_deref()
                .and_then(|words| words.lines().last());
            let words = words.map(|words| format!(" `{words}`"));
            format!("respond {request}{}", words.unwrap_or_default())
        }
        ModelCommand::Cancel { response } => format!("cancel {response}"),
        ModelCommand::Tell { role, text } => {
            let line = text.lines().last().unwrap_or_default();
            format!("tell {} `{line}`", role.as_str())
        }
        ModelCommand::Refuse { request } => format!("refuse {request}"),
        ModelCommand::ToolOutput { call, output } => format!("tool_output {call} {output}"),
    }
}

fn how_much(setup: &SessionSetup) -> String {
    match (&setup.options, setup.tools.len()) {
        (Some(options), _) if options.turns.is_none() => " (own turns)".to_owned(),
        (Some(_), _) => String::new(),
        (None, 0) => " (least)".to_owned(),
        (None, tools) => format!(" (with {tools} tools)"),
    }
}

fn short_report(report: &Report) -> String {
    match report {
        Report::State(state) => format!("state {}", state.label()),
        Report::Connected { protocol, version } => format!("connected {protocol} {version}"),
        Report::Started {
            refused_parameters, ..
        } => format!("started refused={refused_parameters}"),
        Report::StreamRefused { why } => format!("refused {why}"),
        Report::PhoneAway => "phone_away".to_owned(),
        Report::PhoneBack { away_ms } => format!("phone_back {away_ms}"),
        Report::FirstCallerAudio => "first_caller_audio".to_owned(),
        Report::ModelDialled { result, .. } => format!("dialled {result}"),
        Report::ModelReady { again, .. } => format!("ready again={again}"),
        Report::ModelLost { why, redial } => format!("lost {why} redial={redial}"),
        Report::RolledOver { result, .. } => format!("rolled_over {result}"),
        Report::RolloverFailed { why } => format!("rollover_failed {why}"),
        Report::ModelComplains(error) => {
            format!("complaint {}", error.code.as_deref().unwrap_or("-"))
        }
        Report::LeftOut { part } => format!("left_out {part}"),
        Report::AnswerCut { item, why } => {
            let item = item.as_ref().map_or("-", |item| item.as_str());
            format!("answer_cut {item} {why}")
        }
        Report::FirstAgentAudio { .. } => "first_agent_audio".to_owned(),
        Report::Resumed {
            audible,
            turns,
            resumes,
            ..
        } => format!("resumed audible={audible} turns={turns} resumes={resumes}"),
        Report::Answered { latency_us } => format!("answered {latency_us}us"),
        Report::Turn(turn) => short_turn(turn),
        Report::Transcoding => "transcoding".to_owned(),
        Report::Interrupted { heard_ms } => format!("interrupted {heard_ms}"),
        Report::Violation { peer, kind } => format!("violation {}:{kind}", peer.label()),
        Report::CallerAudioDropped { bytes } => format!("caller_dropped {bytes}"),
        Report::AgentAudioDropped { bytes, why } => format!("agent_dropped {bytes} {why}"),
        Report::Used { dollars, .. } => format!("used ${dollars:.4}"),
        Report::RateLimits { left, .. } => format!("rate_limits {left:.2}"),
        Report::ServerTool { tool, result, ms } => format!("server_tool {tool} {result} {ms}"),
        Report::ToolStarted { tool, number } => format!("tool_started {tool} {number}"),
        Report::Tool {
            tool,
            number,
            result,
            ..
        } => format!("tool {tool} {number} {result}"),
    }
}

fn short_turn(turn: &Turn) -> String {
    let cut = if turn.cut { " cut" } else { "" };
    match turn.who {
        Speaker::Caller => format!("turn caller {}", turn.item),
        Speaker::Agent => format!("turn agent {} heard={}{cut}", turn.item, turn.heard_ms),
    }
}

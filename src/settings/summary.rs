//! The settings for people: what `switchboard check` prints.

use std::fmt::Write as _;

use super::{Agent, Greeting, Settings, Voice};

/// A line a setting, then a line an agent, tool and target.
pub(super) fn of(settings: &Settings) -> String {
    let mut text = String::new();
    let file = settings
        .file_path
        .as_ref()
        .map_or("none".to_owned(), |path| path.display().to_string());
    let _ = writeln!(text, "configuration file = {file}");
    for line in &settings.summary {
        let _ = writeln!(text, "{line}");
    }
    for agent in settings.agents.values() {
        let takes_rest = agent.name == settings.default_agent.name;
        let _ = writeln!(
            text,
            "agents.{} = {}",
            agent.name,
            describe(agent, takes_rest)
        );
    }
    for tool in settings.tools.values() {
        let host = tool.url.host_str().unwrap_or_default();
        let signed = if tool.secret.is_some() {
            "signed"
        } else {
            "not signed"
        };
        let effects = if tool.effects { ", has effects" } else { "" };
        let _ = writeln!(text, "tools.{} = {host}, {signed}{effects}", tool.name);
    }
    for name in settings.built_ins.keys() {
        let _ = writeln!(text, "tools.{name} = in this process");
    }
    for (name, number) in &settings.transfer_targets {
        let _ = writeln!(text, "transfer.targets.{name} = {}", number.masked());
    }
    let dial = settings
        .fallback
        .dial
        .as_ref()
        .map_or("then hang up".to_owned(), |dial| {
            format!("then dial {}", dial.masked())
        });
    let _ = writeln!(text, "fallback = say {:?}, {dial}", settings.fallback.say);
    text
}

fn describe(agent: &Agent, takes_rest: bool) -> String {
    let mut numbers: Vec<String> = agent.numbers.iter().map(|number| number.masked()).collect();
    if takes_rest {
        numbers.push("every other number".to_owned());
    }
    let numbers = if numbers.is_empty() {
        "no number".to_owned()
    } else {
        numbers.join(", ")
    };
    let voice = match &agent.voice {
        Voice::Named(name) => name,
        Voice::Custom(id) => id.as_str(),
    };
    let greeting = match &agent.greeting {
        Greeting::Model { .. } => "the agent speaks first",
        Greeting::Wait => "the caller speaks first",
        Greeting::Clip { .. } => "a clip is played first",
    };
    let tools: Vec<&str> = agent.tools.iter().map(|tool| tool.name()).collect();
    let tools = if tools.is_empty() {
        "no tools".to_owned()
    } else {
        format!("tools {}", tools.join(" "))
    };
    format!(
        "{numbers}; model {}, voice {voice}, language {}, {greeting}, {tools}",
        agent.model.name, agent.language
    )
}

//! Tools the model's server runs itself (MCP): seen, counted, and answered for where the server asks.
//!
//! The server calls them in the middle of a response and keeps the outputs; what is told of them is their beginning and
//! their end (<https://platform.openai.com/docs/guides/realtime-mcp>).

use std::collections::VecDeque;

use crate::call::Call;
use crate::call::effect::{Peer, Report};
use crate::call::snapshot::ToolRow;
use crate::ids::ModelId;
use crate::model::command::{ModelCommand, Role};
use crate::time::Time;

/// Items whose beginning is remembered: those of one response.
const BEGUN: usize = 16;

/// Runs shown on the call's page, the newest.
const SHOWN: usize = 64;

/// What stands for a server the settings do not name.
const UNNAMED: &str = "mcp";

const UNLISTED: &str = "A server of tools could not be reached, and its tools cannot be used in this call. If the caller \
                        needs them, say that this does not work at the moment and offer something else.";

/// The tools the server ran.
#[derive(Debug, Default)]
pub(in crate::call) struct ServerTools {
    begun: VecDeque<(ModelId, Option<String>, Time)>,
    rows: VecDeque<ToolRow>,
    /// Requests to be refused when their response is done: earlier the server does not know them.
    refused: Vec<ModelId>,
}

impl ServerTools {
    pub(in crate::call) fn rows(&self) -> impl Iterator<Item = ToolRow> {
        self.rows.iter().cloned()
    }
}

impl Call {
    /// An item begins; where it is going to be a call of a tool, that may be told already.
    pub(in crate::call) fn on_item_started(
        &mut self,
        item: ModelId,
        tool: Option<String>,
        now: Time,
    ) {
        let begun = &mut self.tools.server.begun;
        if begun.len() == BEGUN {
            begun.pop_front();
        }
        begun.push_back((item, tool, now));
    }

    /// The server has run a tool.
    pub(in crate::call) fn on_server_call(
        &mut self,
        item: &ModelId,
        server: &str,
        failed: bool,
        now: Time,
    ) {
        let begun = self.tools.server.begun.iter();
        let mut begun = begun.filter(|(begun, ..)| begun == item);
        let since = begun.next().map_or(now, |(_, _, since)| *since);
        let ms = now.millis_since(since);
        // A name that becomes a label must be one of the settings'.
        let tool = if self.names_server(server) {
            server.to_owned()
        } else {
            self.violation(Peer::Model, "unknown_tool_server");
            UNNAMED.to_owned()
        };
        let result = if failed { "failed" } else { "ok" };
        if self.tools.server.rows.len() == SHOWN {
            self.tools.server.rows.pop_front();
        }
        self.tools.server.rows.push_back(ToolRow {
            name: tool.clone(),
            state: result,
            at_ms: since.as_millis(),
            ms,
            effects: false,
        });
        self.report(Report::ServerTool { tool, result, ms });
    }

    /// The tool that an item was said to be a call of, when it began.
    pub(in crate::call) fn tool_of(&self, item: &ModelId) -> Option<String> {
        let mut begun = self.tools.server.begun.iter();
        begun.find(|(begun, ..)| begun == item)?.1.clone()
    }

    fn names_server(&self, server: &str) -> bool {
        let mut tools = self.setup.agent.session.tools.iter();
        tools.any(|tool| tool["type"] == "mcp" && tool["server_label"] == server)
    }

    /// The server asks whether it may run a tool. Servers of the settings need not ask; others may not.
    pub(in crate::call) fn on_approval_request(&mut self, request: ModelId) {
        self.violation(Peer::Model, "approval_request");
        self.tools.server.refused.push(request);
    }

    /// A response is done: what it asked for is refused, and the model may go on.
    pub(in crate::call) fn refuse_approvals(&mut self) {
        for request in std::mem::take(&mut self.tools.server.refused) {
            self.ask_model(ModelCommand::Refuse { request });
        }
    }

    /// The server did not reach a server of tools.
    pub(in crate::call) fn on_tools_unlisted(&mut self) {
        if !self.model.is_ready() {
            return;
        }
        let (tool, result) = (UNNAMED.to_owned(), "unlisted");
        self.report(Report::ServerTool {
            tool,
            result,
            ms: 0,
        });
        // For this session alone: the next one may have more luck.
        let (role, text) = (Role::System, UNLISTED.to_owned());
        self.ask_model(ModelCommand::Tell { role, text });
    }
}

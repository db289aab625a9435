//! Tools as a session is told of them.

use serde_json::{Map, Value, json};

use crate::tool::ToolSpec;

/// A tool that we run
/// (<https://platform.openai.com/docs/guides/realtime-conversations#function-calling>).
#[must_use]
pub fn function(name: &str, description: &str, parameters: &Value) -> Value {
    json!({
        "type": "function", "name": name, "description": description, "parameters": parameters,
    })
}

/// The same of one that is specified.
#[must_use]
pub fn of(spec: &ToolSpec) -> Value {
    function(&spec.name, &spec.description, &spec.parameters)
}

/// A Model Context Protocol server, which OpenAI calls
/// (<https://platform.openai.com/docs/guides/realtime-mcp>).
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// Its label.
    pub name: &'a str,
    /// What the model is told it is for.
    pub description: &'a str,
    /// Its address.
    pub url: &'a str,
    /// The token it is called with.
    pub authorization: Option<&'a str>,
}

/// A server of tools. Nobody is asked before one of them is used.
#[must_use]
pub fn server<'a>(
    server: Server<'_>,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Value {
    let mut told = json!({
        "type": "mcp", "server_label": server.name, "server_description": server.description,
        "server_url": server.url, "require_approval": "never",
    });
    if let Some(token) = server.authorization {
        told["authorization"] = json!(token);
    }
    let headers = headers.into_iter();
    let headers: Map<String, Value> = headers
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    if !headers.is_empty() {
        told["headers"] = headers.into();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_tools_has_its_headers_where_there_are_any() {
        let plain = Server {
            name: "docs",
            description: "Looks things up.",
            url: "https://tools.example.com/mcp",
            authorization: None,
        };
        assert_eq!(
            server(plain, []),
            json!({
                "type": "mcp", "server_label": "docs", "server_description": "Looks things up.",
                "server_url": "https://tools.example.com/mcp", "require_approval": "never",
            })
        );
        let known = Server {
            authorization: Some("secret"),
            ..plain
        };
        let told = server(known, [("X-House", "spa")]);
        assert_eq!(told["authorization"], "secret");
        assert_eq!(told["headers"], json!({"X-House": "spa"}));
    }
}

//! The items of a session and what may be done with them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::check::{ApiError, At, Checked};
use super::sound::Format;

/// Longest text of one content part.
const TEXT_LIMIT: usize = 256_000;

#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) id: String,
    /// As events show it, without audio.
    pub(crate) json: Value,
    pub(crate) sound: Sound,
}

/// The audio side of an item.
#[derive(Debug, Clone)]
pub(crate) enum Sound {
    None,
    /// What the caller said.
    Heard(Bytes),
    /// What the model says; how much of it exists by now.
    Generated {
        bytes: u64,
        format: Format,
    },
}

impl Item {
    /// The words of the item, whatever kind it is.
    pub(crate) fn text(&self) -> String {
        for key in ["arguments", "output"] {
            if let Some(text) = self.json.get(key).and_then(Value::as_str) {
                return text.to_owned();
            }
        }
        let parts = self.json.get("content").and_then(Value::as_array);
        let texts = parts.into_iter().flatten().filter_map(|part| {
            let text = part.get("text").or_else(|| part.get("transcript"));
            text.and_then(Value::as_str)
        });
        texts.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn kind(&self) -> &str {
        self.json
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(crate) fn role(&self) -> Option<&str> {
        self.json.get("role").and_then(Value::as_str)
    }

    pub(crate) fn generated_ms(&self) -> Option<u64> {
        match self.sound {
            Sound::Generated { bytes, format } => Some(format.ms(bytes)),
            Sound::None | Sound::Heard(_) => None,
        }
    }

    fn call_id(&self) -> Option<&str> {
        self.json.get("call_id").and_then(Value::as_str)
    }
}

/// All of them, in order.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    items: Vec<Item>,
    /// The model has spoken: its voice is settled.
    pub(crate) assistant_spoke: bool,
}

impl Conversation {
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.items.last().map(|item| item.id.as_str())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id == id)
    }

    /// The item before that one.
    pub(crate) fn previous_id(&self, id: &str) -> Option<&str> {
        let at = self.items.iter().position(|item| item.id == id)?;
        Some(self.items.get(at.checked_sub(1)?)?.id.as_str())
    }

    pub(crate) fn append(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Tokens a response has to read: of text, and of the caller's audio (one for 100 ms).
    pub(crate) fn input_tokens(&self, format: Format) -> (u64, u64) {
        let mut text = 0;
        let mut audio = 0;
        for item in &self.items {
            match &item.sound {
                Sound::Heard(bytes) => audio += format.ms(bytes.len() as u64) / 100,
                Sound::Generated { .. } | Sound::None => text += item.text().len() as u64 / 4,
            }
        }
        (text, audio)
    }

    /// Takes in an item of `conversation.item.create`; `at` is its `item`.
    pub(crate) fn create(
        &mut self,
        at: &At<'_>,
        previous: Option<&At<'_>>,
        fresh_id: impl FnOnce() -> String,
    ) -> Checked<&Item> {
        let mut json = checked_item(at, |call_id| self.knows_call(call_id))?;
        let id = match at.given("id") {
            Some(id) => self.unused_id(&id)?,
            None => fresh_id(),
        };
        let place = match previous {
            None => self.items.len(),
            Some(previous) => self.place_after(previous)?,
        };
        json.insert("id".to_owned(), id.clone().into());
        json.insert("object".to_owned(), "realtime.item".into());
        json.insert("status".to_owned(), "completed".into());
        let sound = take_sound(&mut json);
        self.items.insert(
            place,
            Item {
                id,
                json: Value::Object(json),
                sound,
            },
        );
        Ok(&self.items[place])
    }

    fn unused_id(&self, at: &At<'_>) -> Checked<String> {
        let id = at.text_up_to(32)?;
        if self.get(id).is_some() {
            return Err(at.invalid(format!("Item with id '{id}' already exists.")));
        }
        Ok(id.to_owned())
    }

    fn place_after(&self, at: &At<'_>) -> Checked<usize> {
        let previous = at.text()?;
        if previous == "root" {
            return Ok(0);
        }
        match self.items.iter().position(|item| item.id == previous) {
            Some(before) => Ok(before + 1),
            None => Err(at.invalid(format!("Previous item with id '{previous}' not found."))),
        }
    }

    /// What a tool last answered; `None` if it never was, or not with JSON.
    pub(crate) fn last_output(&self, tool: &str) -> Option<Value> {
        let is_its_call = |item: &&Item| {
            item.kind() == "function_call"
                && item.json.get("name").and_then(Value::as_str) == Some(tool)
        };
        let output = self.items.iter().rev().find(|item| {
            item.kind() == "function_call_output"
                && self
                    .items
                    .iter()
                    .filter(is_its_call)
                    .any(|call| call.call_id() == item.call_id())
        })?;
        let text = output.json.get("output").and_then(Value::as_str)?;
        serde_json::from_str(text).ok()
    }

    /// A call counts once its response is over.
    fn knows_call(&self, call_id: &str) -> bool {
        let mut calls = self
            .items
            .iter()
            .filter(|item| item.kind() == "function_call");
        calls.any(|call| {
            let done = call.json.get("status").and_then(Value::as_str) != Some("in_progress");
            done && call.call_id() == Some(call_id)
        })
    }

    /// `conversation.item.retrieve`: the item with its audio.
    pub(crate) fn retrieve(&self, id: &str) -> Checked<Value> {
        let item = self
            .get(id)
            .ok_or_else(|| not_found("item_retrieve_invalid_item_id", id))?;
        let mut json = item.json.clone();
        let part = json
            .get_mut("content")
            .and_then(|content| content.get_mut(0));
        if let (Sound::Heard(audio), Some(part)) =
            (&item.sound, part.and_then(Value::as_object_mut))
        {
            part.insert("audio".to_owned(), STANDARD.encode(audio).into());
        }
        Ok(json)
    }

    /// `conversation.item.truncate`: the audio ends there, the transcript is gone.
    pub(crate) fn truncate(&mut self, id: &str, content_index: i64, end_ms: u64) -> Checked<()> {
        let item = self
            .get_mut(id)
            .ok_or_else(|| not_found("item_truncate_invalid_item_id", id))?;
        let Sound::Generated { bytes, format } = &mut item.sound else {
            return Err(not_truncatable());
        };
        if *bytes == 0 {
            return Err(not_truncatable());
        }
        if content_index != 0 {
            return Err(ApiError::new(
                "invalid_value",
                format!("Content part with index {content_index} not found in item {id}."),
            ));
        }
        let has_ms = format.ms(*bytes);
        if end_ms > has_ms {
            return Err(ApiError::new(
                "invalid_value",
                format!("Audio content of {has_ms}ms is already shorter than {end_ms}ms"),
            ));
        }
        *bytes = format.bytes(end_ms);
        if let Some(part) = item.json.pointer_mut("/content/0")
            && let Some(part) = part.as_object_mut()
        {
            part.insert("transcript".to_owned(), "".into());
        }
        Ok(())
    }

    pub(crate) fn delete(&mut self, id: &str) -> Checked<()> {
        let at = self
            .items
            .iter()
            .position(|item| item.id == id)
            .ok_or_else(|| not_found("item_delete_invalid_item_id", id))?;
        self.items.remove(at);
        Ok(())
    }
}

fn not_found(code: &str, id: &str) -> ApiError {
    ApiError::new(code, format!("Item with item_id not found: {id}"))
}

fn not_truncatable() -> ApiError {
    ApiError::new("", "Only model output audio messages can be truncated").without_code()
}

/// Moves client audio out of the JSON, where events never show it.
fn take_sound(json: &mut Map<String, Value>) -> Sound {
    let mut heard = Vec::new();
    let parts = json.get_mut("content").and_then(Value::as_array_mut);
    for part in parts.into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(Value::String(audio)) = part.remove("audio") {
            // Was checked before; an undecodable one would be empty.
            heard.extend(STANDARD.decode(audio).unwrap_or_default());
            part.entry("transcript").or_insert(Value::Null);
        }
    }
    if heard.is_empty() {
        return Sound::None;
    }
    Sound::Heard(heard.into())
}

fn checked_item(at: &At<'_>, knows_call: impl Fn(&str) -> bool) -> Checked<Map<String, Value>> {
    const KINDS: &[&str] = &[
        "message",
        "function_call",
        "function_call_output",
        "mcp_approval_response",
    ];
    at.any_object()?;
    let common = ["id", "object", "status", "type"];
    let with = |own: &[&'static str]| [&common[..], own].concat();
    let map = match at.need("type")?.choice(KINDS)? {
        "message" => {
            let map = at.object(&with(&["role", "content"]))?;
            message_content(at)?;
            map
        }
        "function_call" => {
            let map = at.object(&with(&["call_id", "name", "arguments"]))?;
            for key in ["name", "arguments"] {
                at.need(key)?.text()?;
            }
            if let Some(call_id) = at.given("call_id") {
                call_id.text_up_to(32)?;
            }
            map
        }
        "function_call_output" => {
            let map = at.object(&with(&["call_id", "output"]))?;
            at.need("output")?.text()?;
            let call = at.need("call_id")?;
            let call_id = call.text()?;
            if !knows_call(call_id) {
                return Err(ApiError::new(
                    "invalid_tool_call_id",
                    format!("Tool call ID '{call_id}' not found in conversation."),
                )
                .at(call.path()));
            }
            map
        }
        _ => {
            at.object(&with(&["approval_request_id", "approve", "reason"]))?;
            let request = at.need("approval_request_id")?;
            // No MCP server is reached from here, so nothing has ever asked for an approval.
            return Err(request.invalid(format!(
                "Approval request with id '{}' not found.",
                request.text()?
            )));
        }
    };
    Ok(map.clone())
}

fn message_content(at: &At<'_>) -> Checked<()> {
    let role = at.need("role")?.choice(&["system", "user", "assistant"])?;
    let allowed: &[&str] = match role {
        "assistant" => &["output_text"],
        "user" => &["input_text", "input_audio", "input_image"],
        _ => &["input_text"],
    };
    for part in at.need("content")?.items()? {
        part.any_object()?;
        match part.need("type")?.choice(allowed)? {
            "input_audio" => {
                part.object(&["type", "audio", "transcript"])?;
                let audio = part.need("audio")?;
                if STANDARD.decode(audio.text()?).is_err() {
                    return Err(audio.invalid("Expected base64-encoded audio bytes."));
                }
            }
            "input_image" => {
                part.object(&["type", "image_url", "detail"])?;
                part.need("image_url")?.text()?;
            }
            _ => {
                part.object(&["type", "text"])?;
                part.need("text")?.text_up_to(TEXT_LIMIT)?;
            }
        }
    }
    Ok(())
}

/// A message of the caller, made from committed audio.
pub(crate) fn caller_item(id: &str, audio: Bytes) -> Item {
    Item {
        id: id.to_owned(),
        json: json!({
            "id": id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": null}],
        }),
        sound: Sound::Heard(audio),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(
        conversation: &mut Conversation,
        item: Value,
        previous: Option<&str>,
    ) -> Checked<String> {
        let previous = previous.map(Value::from);
        let previous = previous.as_ref().map(|id| At::new("previous_item_id", id));
        conversation
            .create(&At::new("item", &item), previous.as_ref(), || {
                "item_x".into()
            })
            .map(|item| item.id.clone())
    }

    fn user(id: &str) -> Value {
        json!({"id": id, "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]})
    }

    #[test]
    fn items_go_where_the_client_wants_them() {
        let mut conversation = Conversation::default();
        for (id, previous) in [
            ("a", None),
            ("b", None),
            ("c", Some("a")),
            ("d", Some("root")),
        ] {
            create(&mut conversation, user(id), previous).unwrap();
        }
        assert_eq!(conversation.last_id(), Some("b"));
        assert_eq!(conversation.previous_id("b"), Some("c"));
        assert_eq!(conversation.previous_id("a"), Some("d"));
        assert_eq!(conversation.previous_id("d"), None);
        let error = create(&mut conversation, user("e"), Some("nobody")).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("previous_item_id"));
        let error = create(&mut conversation, user("a"), None).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("item.id"));
        assert_eq!(error.code.as_deref(), Some("invalid_value"));
    }

    #[test]
    fn each_role_has_its_own_content() {
        let mut conversation = Conversation::default();
        let message = |role: &str, kind: &str| {
            let item =
                json!({"type": "message", "role": role, "content": [{"type": kind, "text": "x"}]});
            let mut conversation = Conversation::default();
            create(&mut conversation, item, None).is_ok()
        };
        assert!(message("assistant", "output_text"));
        assert!(!message("assistant", "text"));
        assert!(!message("assistant", "input_text"));
        assert!(message("system", "input_text"));
        assert!(!message("user", "output_text"));
        let audio = json!({"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "/////w=="}]});
        let id = create(&mut conversation, audio, None).unwrap();
        assert_eq!(
            conversation.get(&id).unwrap().json["content"][0].get("audio"),
            None
        );
        assert_eq!(
            conversation.retrieve(&id).unwrap()["content"][0]["audio"],
            "/////w=="
        );
    }

    #[test]
    fn an_output_needs_its_call() {
        let mut conversation = Conversation::default();
        let output = json!({"type": "function_call_output", "call_id": "call_1", "output": "{}"});
        let error = create(&mut conversation, output.clone(), None).unwrap_err();
        assert_eq!(error.code.as_deref(), Some("invalid_tool_call_id"));
        let call = json!({"id": "f", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"});
        create(&mut conversation, call, None).unwrap();
        create(&mut conversation, output, None).unwrap();
    }

    #[test]
    fn only_generated_audio_can_be_cut_and_only_where_it_is() {
        let mut conversation = Conversation::default();
        create(&mut conversation, user("u"), None).unwrap();
        let spoken = |bytes| Item {
            id: "a".into(),
            json: json!({"content": [{"type": "output_audio", "transcript": "Hello there"}]}),
            sound: Sound::Generated {
                bytes,
                format: Format::Pcmu,
            },
        };
        conversation.append(spoken(1_840 * 8));
        let message = |result: Checked<()>| result.unwrap_err().message;
        assert_eq!(
            message(conversation.truncate("a", 0, 2_600)),
            "Audio content of 1840ms is already shorter than 2600ms"
        );
        assert_eq!(
            message(conversation.truncate("u", 0, 0)),
            "Only model output audio messages can be truncated"
        );
        assert_eq!(
            message(conversation.truncate("z", 0, 0)),
            "Item with item_id not found: z"
        );
        conversation.truncate("a", 0, 1_000).unwrap();
        assert_eq!(conversation.get("a").unwrap().generated_ms(), Some(1_000));
        assert_eq!(conversation.get("a").unwrap().text(), "");
        assert_eq!(
            message(conversation.truncate("a", 0, 1_001)),
            "Audio content of 1000ms is already shorter than 1001ms"
        );
    }
}

//! A session's effective configuration: defaults, strict updates, and the parts of it the server acts on.

use serde_json::{Map, Value, json};

use super::check::{ApiError, At, Checked};
use super::schema::{self, Model};
use super::sound::Format;
use super::vad::VadSettings;

/// How long semantic VAD waits here. The real one listens to the meaning; only the pause can be imitated.
const SEMANTIC_SILENCE_MS: u64 = 600;

/// The configuration of one session.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) model: Model,
    values: Map<String, Value>,
}

/// What turn detection does, beyond the numbers of the detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TurnDetection {
    pub(crate) vad: VadSettings,
    pub(crate) idle_timeout_ms: Option<u64>,
    pub(crate) create_response: bool,
    pub(crate) interrupt_response: bool,
}

impl Config {
    /// The server defaults, as in `session.created`.
    pub(crate) fn new(model: Model, session_id: &str, expires_at: u64) -> Self {
        let defaults = json!({
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": model.name,
            "output_modalities": ["audio"],
            "instructions": "Your knowledge cutoff is 2025-06. You are a helpful, witty, and friendly AI. Act like a human.",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": null,
            "truncation": "auto",
            "prompt": null,
            "expires_at": expires_at,
            "audio": {
                "input": {
                    "format": Format::Pcm.to_json(),
                    "transcription": null,
                    "noise_reduction": null,
                    "turn_detection": server_vad_defaults(),
                },
                "output": {"format": Format::Pcm.to_json(), "voice": "marin", "speed": 1.0},
            },
            "include": null,
        });
        let values = match defaults {
            Value::Object(values) => values,
            _ => Map::new(),
        };
        Self { model, values }
    }

    /// The full effective configuration, as in `session.updated`.
    pub(crate) fn to_json(&self) -> Value {
        Value::Object(self.values.clone())
    }

    /// Applies the `session` of a `session.update`, or nothing at all.
    pub(crate) fn update(&mut self, session: &Value, assistant_spoke: bool) -> Checked<()> {
        let at = At::new("session", session);
        schema::session(&at, &self.model)?;
        self.check_unchangeable(&at, assistant_spoke)?;
        for (key, value) in at.any_object()? {
            if !matches!(key.as_str(), "audio" | "type" | "model") {
                self.values.insert(key.clone(), value.clone());
            }
        }
        for (side, members) in session
            .get("audio")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            for (key, value) in members.as_object().into_iter().flatten() {
                let merged = match key.as_str() {
                    "turn_detection" => self.merged_turn_detection(value),
                    "noise_reduction" => self.merged_noise_reduction(value),
                    "format" => Format::from_json(value).to_json(),
                    _ => value.clone(),
                };
                self.set_audio(side, key, merged);
            }
        }
        Ok(())
    }

    fn check_unchangeable(&self, at: &At<'_>, assistant_spoke: bool) -> Checked<()> {
        let voice = at.value().pointer("/audio/output/voice");
        if let Some(voice) = voice
            && assistant_spoke
            && *voice != self.voice()
        {
            return Err(ApiError::new(
                "cannot_update_voice",
                "Cannot update a conversation's voice if assistant audio is present.",
            )
            .at("session.audio.output.voice"));
        }
        let tracing = self.values.get("tracing");
        if let Some(wanted) = at.get("tracing")
            && tracing.is_some_and(|now| !now.is_null() && now != wanted.value())
        {
            return Err(wanted.invalid("Tracing cannot be changed once it is enabled."));
        }
        Ok(())
    }

    fn merged_turn_detection(&self, wanted: &Value) -> Value {
        let Some(members) = wanted.as_object() else {
            return Value::Null;
        };
        let current = self.audio("input", "turn_detection");
        let mut base = match (
            current.get("type") == wanted.get("type"),
            wanted["type"].as_str(),
        ) {
            (true, _) => current.clone(),
            (false, Some("semantic_vad")) => {
                json!({"eagerness": "auto", "create_response": true, "interrupt_response": true})
            }
            _ => server_vad_defaults(),
        };
        if let Some(base) = base.as_object_mut() {
            base.extend(members.clone());
        }
        base
    }

    fn merged_noise_reduction(&self, wanted: &Value) -> Value {
        let mut merged = wanted.clone();
        if let Some(merged) = merged.as_object_mut()
            && !merged.contains_key("strength")
            && let Some(strength) = self.audio("input", "noise_reduction").get("strength")
        {
            merged.insert("strength".to_owned(), strength.clone());
        }
        merged
    }

    /// The server ignores the wish and answers in another format.
    pub(crate) fn force_output_format(&mut self, format: Format) {
        self.set_audio("output", "format", format.to_json());
    }

    /// The server ignores the wish and lets no answer be cut.
    pub(crate) fn never_interrupt(&mut self) {
        let mut detection = self.audio("input", "turn_detection").clone();
        if let Some(members) = detection.as_object_mut() {
            members.insert("interrupt_response".to_owned(), false.into());
            self.set_audio("input", "turn_detection", detection);
        }
    }

    fn set_audio(&mut self, side: &str, key: &str, value: Value) {
        let members = self
            .values
            .get_mut("audio")
            .and_then(|audio| audio.get_mut(side))
            .and_then(Value::as_object_mut);
        if let Some(members) = members {
            members.insert(key.to_owned(), value);
        }
    }

    fn audio(&self, side: &str, key: &str) -> &Value {
        static NULL: Value = Value::Null;
        self.values
            .get("audio")
            .and_then(|audio| audio.get(side)?.get(key))
            .unwrap_or(&NULL)
    }

    pub(crate) fn input_format(&self) -> Format {
        Format::from_json(self.audio("input", "format"))
    }

    pub(crate) fn output_format(&self) -> Format {
        Format::from_json(self.audio("output", "format"))
    }

    pub(crate) fn voice(&self) -> Value {
        self.audio("output", "voice").clone()
    }

    pub(crate) fn output_modalities(&self) -> Value {
        self.values
            .get("output_modalities")
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn max_output_tokens(&self) -> Value {
        self.values
            .get("max_output_tokens")
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn instructions_length(&self) -> u64 {
        let instructions = self.values.get("instructions").and_then(Value::as_str);
        instructions.map_or(0, |text| text.len() as u64)
    }

    pub(crate) fn transcribes(&self) -> bool {
        !self.audio("input", "transcription").is_null()
    }

    /// The language codes a transcript is labelled with.
    pub(crate) fn languages(&self) -> Vec<String> {
        let transcription = self.audio("input", "transcription");
        let one = transcription.get("language").and_then(Value::as_str);
        let many = transcription.get("languages").and_then(Value::as_array);
        let many = many.into_iter().flatten().filter_map(Value::as_str);
        one.into_iter().chain(many).map(str::to_owned).collect()
    }

    pub(crate) fn wants_logprobs(&self) -> bool {
        self.values
            .get("include")
            .is_some_and(|include| !include.is_null())
    }

    pub(crate) fn turn_detection(&self, min_speech_ms: u64) -> Option<TurnDetection> {
        let detection = self.audio("input", "turn_detection");
        let kind = detection.get("type").and_then(Value::as_str)?;
        let number = |key: &str, default| {
            detection
                .get(key)
                .and_then(Value::as_u64)
                .unwrap_or(default)
        };
        let flag = |key: &str| detection.get(key).and_then(Value::as_bool).unwrap_or(true);
        let silence_duration_ms = match kind {
            "semantic_vad" => SEMANTIC_SILENCE_MS,
            _ => number("silence_duration_ms", 500),
        };
        Some(TurnDetection {
            vad: VadSettings {
                threshold: detection
                    .get("threshold")
                    .and_then(Value::as_f64)
                    .unwrap_or(0.5),
                prefix_padding_ms: number("prefix_padding_ms", 300),
                silence_duration_ms,
                min_speech_ms,
            },
            idle_timeout_ms: detection.get("idle_timeout_ms").and_then(Value::as_u64),
            create_response: flag("create_response"),
            interrupt_response: flag("interrupt_response"),
        })
    }
}

fn server_vad_defaults() -> Value {
    json!({
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 200,
        "idle_timeout_ms": null,
        "create_response": true,
        "interrupt_response": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(model: &str) -> Config {
        let model = schema::known_models()
            .into_iter()
            .find(|known| known.name == model)
            .unwrap();
        Config::new(model, "sess_1", 1_795_346_400)
    }

    fn refused(config: &mut Config, session: &Value) -> (String, Option<String>) {
        let before = config.to_json();
        let error = config.update(session, true).unwrap_err();
        assert_eq!(
            config.to_json(),
            before,
            "a refused update changed something"
        );
        (error.code.unwrap(), error.param)
    }

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let mut config = config("gpt-realtime-2.1");
        let update = json!({"type": "realtime", "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "turn_detection": {"type": "server_vad", "threshold": 0.7}},
            "output": {"voice": "cedar"},
        }});
        config.update(&update, false).unwrap();
        assert_eq!(config.input_format(), Format::Pcmu);
        assert_eq!(config.output_format(), Format::Pcm);
        assert_eq!(config.voice(), "cedar");
        let detection = config.turn_detection(60).unwrap();
        assert_eq!(detection.vad.threshold, 0.7);
        assert_eq!(detection.vad.silence_duration_ms, 200);
        let off = json!({"type": "realtime", "audio": {"input": {"turn_detection": null}}});
        config.update(&off, true).unwrap();
        assert_eq!(config.turn_detection(60), None);
        assert_eq!(config.voice(), "cedar");
    }

    #[test]
    fn one_bad_field_refuses_the_whole_update() {
        let cases = [
            (
                json!({"type": "realtime", "modalities": ["text"]}),
                "unknown_parameter",
                Some("session.modalities"),
            ),
            (
                json!({"type": "realtime", "temperature": 0.8}),
                "unknown_parameter",
                Some("session.temperature"),
            ),
            (
                json!({"type": "realtime", "voice": "cedar"}),
                "unknown_parameter",
                Some("session.voice"),
            ),
            (
                json!({"instructions": "x"}),
                "missing_required_parameter",
                Some("session.type"),
            ),
            (
                json!({"type": "realtime", "output_modalities": ["text", "audio"]}),
                "invalid_value",
                Some("session.output_modalities"),
            ),
            (
                json!({"type": "realtime", "max_output_tokens": 5000}),
                "integer_above_max_value",
                Some("session.max_output_tokens"),
            ),
            (
                json!({"type": "realtime", "max_output_tokens": "many"}),
                "invalid_type",
                Some("session.max_output_tokens"),
            ),
            (
                json!({"type": "realtime", "audio": {"input": {"format": "pcm16"}}}),
                "invalid_value",
                Some("session.audio.input.format"),
            ),
            (
                json!({"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}),
                "integer_below_min_value",
                Some("session.audio.input.format.rate"),
            ),
            (
                json!({"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcmu", "rate": 8000}}}}),
                "unknown_parameter",
                Some("session.audio.output.format.rate"),
            ),
            (
                json!({"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 4000}}}}),
                "integer_below_min_value",
                Some("session.audio.input.turn_detection.idle_timeout_ms"),
            ),
            (
                json!({"type": "realtime", "audio": {"input": {"turn_detection": {"type": "semantic_vad", "threshold": 0.5}}}}),
                "unknown_parameter",
                Some("session.audio.input.turn_detection.threshold"),
            ),
            (
                json!({"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 1.5}}}}),
                "decimal_above_max_value",
                Some("session.audio.input.turn_detection.threshold"),
            ),
            (
                json!({"type": "realtime", "audio": {"output": {"voice": "nova"}}}),
                "invalid_value",
                Some("session.audio.output.voice"),
            ),
            (
                json!({"type": "realtime", "audio": {"output": {"voice": "ash"}}}),
                "cannot_update_voice",
                Some("session.audio.output.voice"),
            ),
            (
                json!({"type": "realtime", "audio": {"output": {"speed": 2}}}),
                "decimal_above_max_value",
                Some("session.audio.output.speed"),
            ),
            (
                json!({"type": "realtime", "tools": [{"type": "function", "name": "f", "strict": true}]}),
                "unknown_parameter",
                Some("session.tools[0].strict"),
            ),
            (
                json!({"type": "realtime", "tools": [{"type": "function"}]}),
                "missing_required_parameter",
                Some("session.tools[0].name"),
            ),
            (
                json!({"type": "realtime", "model": "gpt-realtime-2"}),
                "invalid_value",
                Some("session.model"),
            ),
            (
                json!({"type": "realtime", "reasoning": {"effort": "huge"}}),
                "invalid_value",
                Some("session.reasoning.effort"),
            ),
        ];
        for (session, code, param) in cases {
            let mut config = config("gpt-realtime-2.1");
            let (got, at) = refused(&mut config, &session);
            assert_eq!((got.as_str(), at.as_deref()), (code, param), "{session}");
        }
    }

    #[test]
    fn reasoning_on_a_model_without_it_is_refused_namelessly() {
        for field in [
            json!({"reasoning": {"effort": "low"}}),
            json!({"parallel_tool_calls": true}),
        ] {
            let mut session = field;
            session["type"] = "realtime".into();
            let error = config("gpt-realtime-1.5")
                .update(&session, false)
                .unwrap_err();
            assert_eq!(error.param, None);
            assert_eq!(error.body(Some("mine"))["error"]["event_id"], Value::Null);
            config("gpt-realtime-2.1").update(&session, false).unwrap();
        }
    }
}

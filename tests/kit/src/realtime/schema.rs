//! What `session.update` and `response.create` may say (openai-python 3.54, `types/realtime/*`;
//! developers.openai.com, *Realtime client events*).

use serde_json::Value;

use super::check::{ApiError, At, Checked};

/// A model name and what it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// As in the URL.
    pub name: String,
    /// Takes `reasoning` and `parallel_tool_calls: true`.
    pub reasons: bool,
    /// Shut down: connecting with it fails.
    pub shut_down: bool,
}

/// The models a server knows if none are named.
pub(crate) fn known_models() -> Vec<Model> {
    let model = |name: &str, reasons, shut_down| Model {
        name: name.to_owned(),
        reasons,
        shut_down,
    };
    vec![
        model("gpt-realtime-2.1", true, false),
        model("gpt-realtime-2.1-mini", true, false),
        model("gpt-realtime-2", true, false),
        model("gpt-realtime-1.5", false, false),
        model("gpt-realtime", false, false),
        model("gpt-realtime-2025-08-28", false, false),
        model("gpt-realtime-mini", false, false),
        model("gpt-realtime-mini-2025-12-15", false, false),
        model("gpt-4o-realtime-preview", false, true),
        model("gpt-4o-realtime-preview-2024-10-01", false, true),
        model("gpt-4o-realtime-preview-2024-12-17", false, true),
        model("gpt-4o-realtime-preview-2025-06-03", false, true),
        model("gpt-4o-mini-realtime-preview", false, true),
        model("gpt-4o-mini-realtime-preview-2024-12-17", false, true),
    ]
}

const VOICES: &[&str] = &[
    "alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar",
];

const TRANSCRIBERS: &[&str] = &[
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-transcribe-diarize",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-03-20",
    "gpt-4o-mini-transcribe-2025-12-15",
];

/// A whole `session` object of `session.update`.
pub(crate) fn session(at: &At<'_>, model: &Model) -> Checked<()> {
    at.object(&[
        "type",
        "model",
        "output_modalities",
        "instructions",
        "audio",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "max_output_tokens",
        "truncation",
        "tracing",
        "prompt",
        "include",
    ])?;
    at.need("type")?.choice(&["realtime"])?;
    if let Some(name) = at.given("model")
        && name.text()? != model.name
    {
        return Err(name.invalid("The model of a session cannot be changed."));
    }
    if let Some(audio) = at.given("audio") {
        audio.object(&["input", "output"])?;
        if let Some(input) = audio.given("input") {
            audio_input(&input)?;
        }
        if let Some(output) = audio.given("output") {
            audio_output(&output, &["format", "voice", "speed"])?;
        }
    }
    if let Some(truncation_at) = at.get("truncation") {
        truncation(&truncation_at)?;
    }
    if let Some(tracing_at) = at.given("tracing") {
        tracing(&tracing_at)?;
    }
    if let Some(include) = at.given("include") {
        for entry in include.items()? {
            entry.choice(&["item.input_audio_transcription.logprobs"])?;
        }
    }
    generation(at, model)
}

/// The fields `session` and `response.create` have in common.
pub(crate) fn generation(at: &At<'_>, model: &Model) -> Checked<()> {
    if let Some(instructions) = at.get("instructions") {
        instructions.text()?;
    }
    if let Some(modalities) = at.get("output_modalities") {
        output_modalities(&modalities)?;
    }
    if let Some(tools) = at.get("tools") {
        for entry in tools.items()? {
            tool(&entry)?;
        }
    }
    if let Some(choice) = at.get("tool_choice") {
        tool_choice(&choice)?;
    }
    if let Some(limit) = at.get("max_output_tokens")
        && limit.value().as_str() != Some("inf")
    {
        limit.integer(1, 4_096)?;
    }
    if let Some(prompt) = at.given("prompt") {
        prompt.object(&["id", "version", "variables"])?;
    }
    if let Some(reasoning) = at.given("reasoning") {
        if !model.reasons {
            return Err(not_for_this_model("reasoning", model));
        }
        reasoning.object(&["effort"])?;
        if let Some(effort) = reasoning.given("effort") {
            effort.choice(&["none", "minimal", "low", "medium", "high", "xhigh"])?;
        }
    }
    if let Some(parallel) = at.given("parallel_tool_calls")
        && parallel.boolean()?
        && !model.reasons
    {
        return Err(not_for_this_model("parallel_tool_calls", model));
    }
    Ok(())
}

/// Seen on the wire without `event_id` and `param`.
fn not_for_this_model(what: &str, model: &Model) -> ApiError {
    ApiError::new(
        "invalid_value",
        format!(
            "The '{what}' session option is not supported by the model {}.",
            model.name
        ),
    )
    .anonymous()
}

fn output_modalities(at: &At<'_>) -> Checked<()> {
    let mut given = Vec::new();
    for entry in at.items()? {
        given.push(entry.choice(&["text", "audio"])?);
    }
    if given.len() == 1 {
        return Ok(());
    }
    Err(at.invalid(format!(
        "Invalid modalities: {given:?}. Supported combinations are: ['text'] and ['audio']."
    )))
}

/// `format`, `voice` and whatever else is allowed there.
pub(crate) fn audio_output(at: &At<'_>, allowed: &[&str]) -> Checked<()> {
    at.object(allowed)?;
    if let Some(format_at) = at.get("format") {
        format(&format_at)?;
    }
    if let Some(voice_at) = at.get("voice") {
        voice(&voice_at)?;
    }
    if let Some(speed) = at.get("speed") {
        speed.decimal(0.25, 1.5)?;
    }
    Ok(())
}

fn voice(at: &At<'_>) -> Checked<()> {
    if at.value().is_object() {
        at.object(&["id"])?;
        at.need("id")?.text()?;
        return Ok(());
    }
    at.choice(VOICES)?;
    Ok(())
}

fn format(at: &At<'_>) -> Checked<()> {
    const KINDS: &[&str] = &["audio/pcm", "audio/pcmu", "audio/pcma"];
    if let Some(text) = at.value().as_str() {
        return Err(at.unsupported(text, KINDS));
    }
    at.any_object()?;
    let kind = at.need("type")?.choice(KINDS)?;
    // G.711 has one rate, and the SDK gives those formats no such field.
    if kind != "audio/pcm" {
        at.object(&["type"])?;
        return Ok(());
    }
    at.object(&["type", "rate"])?;
    if let Some(rate) = at.get("rate") {
        rate.integer(24_000, 24_000)?;
    }
    Ok(())
}

fn audio_input(at: &At<'_>) -> Checked<()> {
    at.object(&[
        "format",
        "transcription",
        "noise_reduction",
        "turn_detection",
    ])?;
    if let Some(format_at) = at.get("format") {
        format(&format_at)?;
    }
    if let Some(transcription_at) = at.given("transcription") {
        transcription(&transcription_at)?;
    }
    if let Some(noise) = at.given("noise_reduction") {
        noise.object(&["type", "strength"])?;
        noise.need("type")?.choice(&["near_field", "far_field"])?;
        if let Some(strength) = noise.given("strength") {
            strength.decimal(0.0, 1.0)?;
        }
    }
    if let Some(detection) = at.given("turn_detection") {
        turn_detection(&detection)?;
    }
    Ok(())
}

fn transcription(at: &At<'_>) -> Checked<()> {
    at.object(&[
        "model",
        "language",
        "languages",
        "prompt",
        "keywords",
        "delay",
    ])?;
    let model = match at.given("model") {
        Some(model) => model.choice(TRANSCRIBERS)?,
        None => "",
    };
    if let Some(language) = at.given("language") {
        language.text()?;
        if let Some(languages) = at.given("languages") {
            return Err(languages.invalid("Only one of 'language' and 'languages' may be given."));
        }
    }
    for key in ["languages", "keywords"] {
        if let Some(list) = at.given(key) {
            for entry in list.items()? {
                entry.text()?;
            }
        }
    }
    if let Some(prompt) = at.given("prompt") {
        prompt.text()?;
        if model == "gpt-realtime-whisper" {
            return Err(prompt.invalid("'prompt' is not supported by gpt-realtime-whisper."));
        }
    }
    if let Some(delay) = at.given("delay") {
        delay.choice(&["minimal", "low", "medium", "high", "xhigh"])?;
        if model != "gpt-realtime-whisper" {
            return Err(delay.invalid("'delay' is only supported by gpt-realtime-whisper."));
        }
    }
    Ok(())
}

fn turn_detection(at: &At<'_>) -> Checked<()> {
    at.any_object()?;
    let kind = at.need("type")?.choice(&["server_vad", "semantic_vad"])?;
    if kind == "server_vad" {
        at.object(&[
            "type",
            "threshold",
            "prefix_padding_ms",
            "silence_duration_ms",
            "idle_timeout_ms",
            "create_response",
            "interrupt_response",
        ])?;
    } else {
        at.object(&["type", "eagerness", "create_response", "interrupt_response"])?;
    }
    if let Some(threshold) = at.get("threshold") {
        threshold.decimal(0.0, 1.0)?;
    }
    for key in ["prefix_padding_ms", "silence_duration_ms"] {
        if let Some(ms) = at.get(key) {
            ms.integer(0, i64::from(u32::MAX))?;
        }
    }
    if let Some(idle) = at.given("idle_timeout_ms") {
        idle.integer(5_000, 30_000)?;
    }
    if let Some(eagerness) = at.get("eagerness") {
        eagerness.choice(&["low", "medium", "high", "auto"])?;
    }
    for key in ["create_response", "interrupt_response"] {
        if let Some(flag) = at.get(key) {
            flag.boolean()?;
        }
    }
    Ok(())
}

fn tool(at: &At<'_>) -> Checked<()> {
    at.any_object()?;
    if at.need("type")?.choice(&["function", "mcp"])? == "function" {
        at.object(&["type", "name", "description", "parameters"])?;
        let name = at.need("name")?;
        let text = name.text_up_to(64)?;
        if text.is_empty()
            || !text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        {
            return Err(name.invalid(format!(
                "Invalid '{}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
                name.path()
            )));
        }
        if let Some(description) = at.given("description") {
            description.text()?;
        }
        if let Some(parameters) = at.given("parameters") {
            parameters.any_object()?;
            function_parameters(text, &parameters)?;
        }
        return Ok(());
    }
    at.object(&[
        "type",
        "server_label",
        "server_url",
        "connector_id",
        "tunnel_id",
        "authorization",
        "headers",
        "allowed_tools",
        "require_approval",
        "server_description",
        "defer_loading",
        "allowed_callers",
    ])?;
    at.need("server_label")?.text()?;
    let places = ["server_url", "connector_id", "tunnel_id"];
    if places.iter().filter(|key| at.given(key).is_some()).count() != 1 {
        return Err(at.invalid(
            "Exactly one of 'server_url', 'connector_id' and 'tunnel_id' must be given.",
        ));
    }
    Ok(())
}

/// The one rule of the API on a function's parameters that valid JSON Schemas break most: a list says what is in it.
fn function_parameters(function: &str, at: &At<'_>) -> Checked<()> {
    fn list_of_anything(schema: &Value, context: &mut Vec<String>) -> bool {
        let is_list = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().any(|kind| kind == "array"),
            kind => kind == "array",
        };
        if is_list && schema.get("items").is_none() {
            return true;
        }
        let members = schema["properties"].as_object();
        for (name, member) in members.into_iter().flatten() {
            context.extend(["properties".to_owned(), name.clone()]);
            if list_of_anything(member, context) {
                return true;
            }
            context.truncate(context.len() - 2);
        }
        context.push("items".to_owned());
        let found = schema
            .get("items")
            .is_some_and(|items| list_of_anything(items, context));
        if !found {
            context.pop();
        }
        found
    }
    let mut context = Vec::new();
    if !list_of_anything(at.value(), &mut context) {
        return Ok(());
    }
    let context: Vec<String> = context.iter().map(|step| format!("'{step}'")).collect();
    let context = context.join(", ");
    Err(ApiError::new(
        "invalid_function_parameters",
        format!(
            "Invalid schema for function '{function}': In context=({context}), array schema missing items."
        ),
    )
    .at(at.path()))
}

fn tool_choice(at: &At<'_>) -> Checked<()> {
    if at.value().is_string() {
        at.choice(&["auto", "none", "required"])?;
        return Ok(());
    }
    at.any_object()?;
    if at.need("type")?.choice(&["function", "mcp"])? == "function" {
        at.object(&["type", "name"])?;
        at.need("name")?.text()?;
    } else {
        at.object(&["type", "server_label", "name"])?;
        at.need("server_label")?.text()?;
    }
    Ok(())
}

fn truncation(at: &At<'_>) -> Checked<()> {
    if at.value().is_string() {
        at.choice(&["auto", "disabled"])?;
        return Ok(());
    }
    at.object(&["type", "retention_ratio", "token_limits"])?;
    at.need("type")?.choice(&["retention_ratio"])?;
    at.need("retention_ratio")?.decimal(0.0, 1.0)?;
    if let Some(limits) = at.given("token_limits") {
        limits.object(&["post_instructions"])?;
        if let Some(limit) = limits.given("post_instructions") {
            limit.integer(0, i64::MAX)?;
        }
    }
    Ok(())
}

fn tracing(at: &At<'_>) -> Checked<()> {
    if at.value().is_string() {
        at.choice(&["auto"])?;
        return Ok(());
    }
    at.object(&["workflow_name", "group_id", "metadata"])?;
    Ok(())
}

/// `metadata` of `response.create`: at most 16 pairs of short texts.
pub(crate) fn metadata(at: &At<'_>) -> Checked<()> {
    let map = at.any_object()?;
    if map.len() > 16 {
        return Err(at.invalid("At most 16 metadata pairs are allowed."));
    }
    for (key, _) in map {
        if key.chars().count() > 64 {
            return Err(at.invalid("Metadata keys may have at most 64 characters."));
        }
        if let Some(value) = at.get(key) {
            value.text_up_to(512)?;
        }
    }
    Ok(())
}

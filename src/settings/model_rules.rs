//! The rules for what is sent to the model: turn detection, transcription, the model and its options.

use super::agents::{
    Eagerness, Effort, ModelOptions, NoiseReduction, Transcription, TurnDetection,
};
use super::error::SettingsError;
use super::{Warning, file, read};
use call_protocol::model::openai::models::{self, Standing};

pub(super) fn language_tag(key: &str, given: &str) -> Result<String, SettingsError> {
    let mut parts = given.split('-');
    let primary = parts.next().unwrap_or_default();
    let fits = (2..=3).contains(&primary.len())
        && primary.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    if fits {
        return Ok(given.to_owned());
    }
    Err(SettingsError::invalid(
        key,
        format!("is {given:?}"),
        "use a language tag such as en, de or pt-BR",
    ))
}

pub(super) fn turn_detection(
    key: &dyn Fn(&str) -> String,
    given: Option<&file::TurnDetection>,
) -> Result<TurnDetection, SettingsError> {
    let Some(given) = given else {
        return Ok(TurnDetection::default());
    };
    let key = |field: &str| key(&format!("turn_detection.{field}"));
    let create_response = given.create_response.unwrap_or(true);
    let interrupt_response = given.interrupt_response.unwrap_or(true);
    let foreign = |field: &str, kind: &str| {
        SettingsError::invalid(
            key(field),
            format!("is set, but {kind} does not have it"),
            "remove it",
        )
    };
    match given.kind.as_deref().unwrap_or("server_vad") {
        "server_vad" => {
            if given.eagerness.is_some() {
                return Err(foreign("eagerness", "server_vad"));
            }
            let threshold = given.threshold.unwrap_or(0.5);
            if !(0.0..=1.0).contains(&threshold) {
                return Err(SettingsError::OutOfRange {
                    key: key("threshold"),
                    given: threshold.to_string(),
                    least: "0.0".to_owned(),
                    most: "1.0".to_owned(),
                });
            }
            let prefix = given.prefix_padding_ms.unwrap_or(300);
            let silence = given.silence_duration_ms.unwrap_or(500);
            let idle = given.idle_timeout_ms;
            Ok(TurnDetection::ServerVad {
                threshold,
                prefix_padding_ms: read::ranged(&key("prefix_padding_ms"), prefix, 0, 5_000)?,
                silence_duration_ms: read::ranged(
                    &key("silence_duration_ms"),
                    silence,
                    50,
                    10_000,
                )?,
                idle_timeout_ms: match idle {
                    Some(idle) => Some(read::ranged(&key("idle_timeout_ms"), idle, 5_000, 30_000)?),
                    None => None,
                },
                create_response,
                interrupt_response,
            })
        }
        "semantic_vad" => {
            let foreign_fields = [
                ("threshold", given.threshold.is_some()),
                ("prefix_padding_ms", given.prefix_padding_ms.is_some()),
                ("silence_duration_ms", given.silence_duration_ms.is_some()),
                ("idle_timeout_ms", given.idle_timeout_ms.is_some()),
            ];
            if let Some((field, _)) = foreign_fields.iter().find(|(_, is_set)| *is_set) {
                return Err(foreign(field, "semantic_vad"));
            }
            let eagerness = given.eagerness.as_deref().unwrap_or("auto");
            Ok(TurnDetection::SemanticVad {
                eagerness: read::one_of(
                    &key("eagerness"),
                    eagerness,
                    Eagerness::NAMES,
                    Eagerness::parse,
                )?,
                create_response,
                interrupt_response,
            })
        }
        other => Err(SettingsError::invalid(
            key("type"),
            format!("is {other:?}"),
            "use server_vad or semantic_vad; without either nobody would answer the caller",
        )),
    }
}

pub(super) fn transcription(
    key: &dyn Fn(&str) -> String,
    given: Option<&file::Transcription>,
    language: &str,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Transcription>, SettingsError> {
    let model = given
        .and_then(|given| given.model.as_deref())
        .unwrap_or(models::TRANSCRIPTION);
    if model == "none" {
        return Ok(None);
    }
    let model_key = key("transcription.model");
    if models::transcribes_without_turns(model) {
        return Err(SettingsError::invalid(
            model_key,
            format!("is {model}, which cannot follow the turns of a call"),
            format!("use {} or none", models::TRANSCRIPTION),
        ));
    }
    check_standing(&model_key, model, models::transcription(model), warnings)?;
    let language = match given.and_then(|given| given.language.as_deref()) {
        Some(own) => language_tag(&key("transcription.language"), own)?,
        None => language.to_owned(),
    };
    Ok(Some(Transcription {
        model: model.to_owned(),
        language,
    }))
}

pub(super) fn model(
    key: &dyn Fn(&str) -> String,
    given: Option<&file::Model>,
    default_name: &str,
    warnings: &mut Vec<Warning>,
) -> Result<ModelOptions, SettingsError> {
    let key = |field: &str| key(&format!("model.{field}"));
    let none = file::Model::default();
    let given = given.unwrap_or(&none);
    let name = match &given.name {
        Some(own) => {
            let own = model_name(&key("name"), own)?;
            check_standing(&key("name"), &own, models::realtime(&own), warnings)?;
            own
        }
        None => default_name.to_owned(),
    };
    let reasoning = match given.reasoning.as_deref() {
        None => None,
        Some(_) if !models::reasons(&name) => {
            return Err(SettingsError::ModelLacks {
                key: key("reasoning"),
                model: name,
                successor: models::RECOMMENDED.to_owned(),
            });
        }
        Some(effort) => Some(read::one_of(
            &key("reasoning"),
            effort,
            Effort::NAMES,
            Effort::parse,
        )?),
    };
    let noise_reduction = match given.noise_reduction.as_deref() {
        None | Some("none") => None,
        Some(kind) => {
            let key = key("noise_reduction");
            Some(read::one_of(
                &key,
                kind,
                &["near_field", "far_field", "none"],
                NoiseReduction::parse,
            )?)
        }
    };
    let max_output_tokens = match given.max_output_tokens {
        Some(tokens) => Some(read::ranged(&key("max_output_tokens"), tokens, 1, 4_096)?),
        None => None,
    };
    Ok(ModelOptions {
        name,
        reasoning,
        max_output_tokens,
        noise_reduction,
    })
}

/// A model or deployment name: it becomes part of a URL's query.
pub(super) fn model_name(key: &str, given: &str) -> Result<String, SettingsError> {
    let fits = !given.is_empty()
        && given.len() <= 128
        && given.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Ok(given.to_owned());
    }
    Err(SettingsError::invalid(
        key,
        "is empty, too long or has characters no model name has",
        format!("use {}", models::RECOMMENDED),
    ))
}

/// Refuses what is gone, warns of what is going.
pub(super) fn check_standing(
    key: &str,
    model: &str,
    standing: Standing,
    warnings: &mut Vec<Warning>,
) -> Result<(), SettingsError> {
    match standing {
        Standing::Usable => Ok(()),
        Standing::Deprecated {
            shutdown,
            successor,
        } => {
            let warning = Warning::ModelDeprecated {
                key: key.to_owned(),
                model: model.to_owned(),
                shutdown,
                successor,
            };
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
            Ok(())
        }
        Standing::ShutDown { successor } => Err(SettingsError::ModelShutDown {
            key: key.to_owned(),
            model: model.to_owned(),
            successor: successor.to_owned(),
        }),
    }
}

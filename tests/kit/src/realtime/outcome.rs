//! How a response presents itself: status, output, usage.

use serde_json::{Value, json};

use super::answer::{Answer, Cancel};
use super::output::Phase;
use super::script::Ending;

impl Answer {
    pub(super) fn status(&self, cancelled: Option<Cancel>, model: &str) -> (&'static str, Value) {
        if let Some(why) = cancelled {
            let reason = match why {
                Cancel::TurnDetected => "turn_detected",
                Cancel::ClientCancelled => "client_cancelled",
            };
            return ("cancelled", json!({"type": "cancelled", "reason": reason}));
        }
        let failed = |kind: &str, code: Value, message: String| {
            let error = json!({"type": kind, "code": code, "message": message});
            ("failed", json!({"type": "failed", "error": error}))
        };
        match &self.ending {
            Ending::Completed | Ending::Hangs => ("completed", Value::Null),
            Ending::MaxOutputTokens => (
                "incomplete",
                json!({"type": "incomplete", "reason": "max_output_tokens"}),
            ),
            Ending::ContentFilter => (
                "incomplete",
                json!({"type": "incomplete", "reason": "content_filter"}),
            ),
            Ending::RateLimited(wait) => failed(
                "tokens",
                "rate_limit_exceeded".into(),
                format!(
                    "Rate limit reached for {model} on tokens per min (TPM): Limit 40000, Used 38120, Requested 6035. Please try again in {wait}."
                ),
            ),
            Ending::ServerError | Ending::FailsAtEnd => failed(
                "server_error",
                Value::Null,
                "The server had an error while processing your request.".to_owned(),
            ),
            Ending::Quota => failed(
                "insufficient_quota",
                "credit_balance_exhausted".into(),
                "Credit balance exhausted.".to_owned(),
            ),
        }
    }

    /// The `response` object of `response.created` and `response.done`.
    pub(super) fn resource(&self, status: &str, details: Value, usage: Value) -> Value {
        let said = self
            .outputs
            .iter()
            .filter(|output| output.phase == Phase::Closed);
        let output: Vec<Value> = said
            .map(|output| {
                output.item(if output.cut {
                    "incomplete"
                } else {
                    "completed"
                })
            })
            .collect();
        json!({
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": self.terms.conversation_id,
            "output_modalities": self.terms.output_modalities,
            "max_output_tokens": self.terms.max_output_tokens,
            "audio": {"output": {"format": self.terms.format.to_json(), "voice": self.terms.voice}},
            "usage": usage,
            "metadata": self.terms.metadata,
        })
    }

    pub(super) fn audio_ms(&self) -> u64 {
        let sent: usize = self.outputs.iter().map(|output| output.sent_bytes).sum();
        self.terms.wire_format.ms(sent as u64)
    }

    /// One token for 50 ms of speech, one for four letters; nothing for what failed.
    pub(super) fn usage(&self, status: &str) -> Value {
        let letters: usize = self
            .outputs
            .iter()
            .map(|output| output.sent_text.len())
            .sum();
        let (mut text_in, mut audio_in) = self.input_tokens;
        let (mut text_out, mut audio_out) = (letters as u64 / 4, self.audio_ms() / 50);
        if status == "failed" {
            (text_in, audio_in, text_out, audio_out) = (0, 0, 0, 0);
        }
        // The cache works on blocks.
        let cached = text_in / 64 * 64;
        json!({
            "total_tokens": text_in + audio_in + text_out + audio_out,
            "input_tokens": text_in + audio_in,
            "output_tokens": text_out + audio_out,
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": audio_in,
                "image_tokens": 0,
                "cached_tokens": cached,
                "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
        })
    }
}

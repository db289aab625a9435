//! What a call costs at the model, by the published prices.

use crate::model::event::{ResponseDone, Usage};

/// US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Prices {
    text_in: f64,
    audio_in: f64,
    cached_in: f64,
    text_out: f64,
    audio_out: f64,
}

const FULL: Prices = Prices {
    text_in: 4.0,
    audio_in: 32.0,
    cached_in: 0.40,
    text_out: 24.0,
    audio_out: 64.0,
};
const MINI: Prices = Prices {
    text_in: 0.60,
    audio_in: 10.0,
    cached_in: 0.30,
    text_out: 2.40,
    audio_out: 20.0,
};
const PLAIN: Prices = Prices {
    text_in: 4.0,
    audio_in: 32.0,
    cached_in: 0.40,
    text_out: 16.0,
    audio_out: 64.0,
};

/// Prices of a model family; the dearest where the model is unknown, so that a surprise is never a higher bill.
///
/// Source: <https://platform.openai.com/docs/pricing>, as of 2026-10.
fn prices(model: &str) -> Prices {
    if model.contains("-mini") {
        return MINI;
    }
    match model {
        "gpt-realtime" | "gpt-realtime-1.5" => PLAIN,
        _ => FULL,
    }
}

/// Says what a response cost at this model, where its tokens are told.
pub fn price(done: &mut ResponseDone, model: &str) {
    if let Some(usage) = &done.usage {
        done.dollars = dollars(model, usage);
    }
}

/// Dollars for a response's tokens.
#[must_use]
pub fn dollars(model: &str, usage: &Usage) -> f64 {
    let prices = prices(model);
    // Token counts stay far below 2^52, where f64 is exact.
    #[allow(clippy::cast_precision_loss)]
    let part = |tokens: u64, price: f64| tokens as f64 * price / 1e6;
    part(usage.text_in, prices.text_in)
        + part(usage.audio_in, prices.audio_in)
        + part(usage.cached_in, prices.cached_in)
        + part(usage.text_out, prices.text_out)
        + part(usage.audio_out, prices.audio_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_listening_costs_what_the_price_list_says() {
        // 600 audio tokens a minute in, 1,200 out.
        let heard = Usage {
            audio_in: 600,
            ..Usage::default()
        };
        let spoken = Usage {
            audio_out: 1_200,
            ..Usage::default()
        };
        assert!((dollars("gpt-realtime-2.1", &heard) - 0.0192).abs() < 1e-9);
        assert!((dollars("gpt-realtime-2.1", &spoken) - 0.0768).abs() < 1e-9);
        assert!((dollars("gpt-realtime-2.1-mini", &heard) - 0.006).abs() < 1e-9);
        assert!(dollars("someone-elses-model", &heard) >= dollars("gpt-realtime-2.1-mini", &heard));
    }
}

//! Sample rate conversion for whole recordings: a windowed sinc, evaluated where it is needed.

/// Zero crossings of the sinc on each side; more is a steeper edge at the new bandwidth.
const ZERO_CROSSINGS: f64 = 16.0;

/// Part of the narrower bandwidth that is kept; the rest is the filter's edge.
const BANDWIDTH: f64 = 0.94;

/// Converts samples from one rate to another, low-passed so that nothing folds back.
#[must_use]
pub fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == to || samples.is_empty() {
        return samples.to_vec();
    }
    let step = f64::from(from) / f64::from(to);
    // Cut-off as a part of the input's bandwidth: the new one when going down, all of it when going up.
    let cutoff = BANDWIDTH * (1.0 / step).min(1.0);
    let reach = ZERO_CROSSINGS / cutoff;
    let length = (samples.len() as f64 / step).floor() as usize;
    let mut output = Vec::with_capacity(length);
    for index in 0..length {
        output.push(value_at(samples, index as f64 * step, cutoff, reach));
    }
    output
}

/// The band-limited signal at `position`, which may lie between two samples.
fn value_at(samples: &[f32], position: f64, cutoff: f64, reach: f64) -> f32 {
    let first = (position - reach).ceil().max(0.0) as usize;
    let last = ((position + reach).floor() as usize).min(samples.len() - 1);
    let (mut sum, mut weights) = (0.0, 0.0);
    for (index, sample) in samples.iter().enumerate().take(last + 1).skip(first) {
        let distance = index as f64 - position;
        let weight = sinc(distance * cutoff) * blackman(distance / reach);
        sum += weight * f64::from(*sample);
        weights += weight;
    }
    // Dividing by what the weights add up to keeps the level exact, at the edges too.
    if weights.abs() < 1e-9 {
        return 0.0;
    }
    (sum / weights) as f32
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

/// The Blackman window for −1…1.
fn blackman(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    0.42 + 0.5 * x.cos() + 0.08 * (2.0 * x).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: u32, seconds: f64) -> Vec<f32> {
        let count = (f64::from(rate) * seconds) as usize;
        let step = std::f64::consts::TAU * hz / f64::from(rate);
        (0..count).map(|n| (n as f64 * step).sin() as f32).collect()
    }

    fn rms(samples: &[f32]) -> f32 {
        let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
        (energy / samples.len() as f32).sqrt()
    }

    #[test]
    fn speech_frequencies_survive_and_higher_ones_do_not_fold_back() {
        for rate in [44_100, 48_000, 16_000, 24_000] {
            let kept = resample(&tone(1_000.0, rate, 0.5), rate, 8_000);
            assert_eq!(kept.len(), 4_000);
            let expected = tone(1_000.0, 8_000, 0.5);
            for (index, (got, want)) in kept.iter().zip(&expected).enumerate().skip(100).take(3_800)
            {
                assert!((got - want).abs() < 0.01, "{rate} at {index}: {got} {want}");
            }
            let folded = resample(&tone(5_000.0, rate, 0.5), rate, 8_000);
            assert!(rms(&folded[100..3_900]) < 0.002, "{rate}");
        }
    }

    #[test]
    fn a_low_rate_is_brought_up() {
        let up = resample(&tone(500.0, 6_000, 0.5), 6_000, 8_000);
        let expected = tone(500.0, 8_000, 0.5);
        for (got, want) in up.iter().zip(&expected).skip(100).take(3_800) {
            assert!((got - want).abs() < 0.01);
        }
    }
}

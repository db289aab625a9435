//! The fuzz targets' committed inputs, on every toolchain: a target that does not build, or an input that fails again, is
//! seen without a fuzzer.

/// The targets' own code.
#[path = "../../fuzz/bodies"]
mod bodies {
    pub(crate) mod call_events;
    pub(crate) mod checkpoint;
    pub(crate) mod payload;
    pub(crate) mod realtime_read;
    pub(crate) mod twilio_read;
}

use std::path::Path;

/// A target and what it does with an input.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 5] = [
    ("call_events", bodies::call_events::run),
    ("checkpoint", bodies::checkpoint::run),
    ("payload", bodies::payload::run),
    ("realtime_read", bodies::realtime_read::run),
    ("twilio_read", bodies::twilio_read::run),
];

#[test]
fn every_committed_input_of_every_target_is_taken_again() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut targets: Vec<String> = std::fs::read_dir(home.join("fuzz_targets"))
        .unwrap()
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    targets.sort_unstable();
    let known: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(targets, known, "a target without its inputs here");
    for (name, run) in TARGETS {
        let mut inputs = 0;
        for file in std::fs::read_dir(home.join("corpus").join(name)).unwrap() {
            let path = file.unwrap().path();
            // Shown if the next line panics.
            println!("{}", path.display());
            run(&std::fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 3, "{name}: {inputs} inputs");
        println!("{name}: {inputs} inputs");
    }
}

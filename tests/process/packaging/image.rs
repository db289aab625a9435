//! What the Dockerfile promises: a small image without shell and secrets that runs as nobody.

use super::dockerfile::{Dockerfile, Stage};
use super::support::{read, variable};

fn dockerfile() -> Dockerfile {
    Dockerfile::parse(&read("docker/Dockerfile"))
}

#[test]
fn every_base_image_is_an_argument_so_that_a_mirror_can_stand_in() {
    let file = dockerfile();
    let mut earlier: Vec<&str> = Vec::new();
    for stage in &file.stages {
        let is_stage = earlier.contains(&stage.base.as_str());
        let argument = stage
            .base
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'));
        match argument {
            Some(name) => assert!(
                file.argument(name).contains('/'),
                "{name} names no registry"
            ),
            None => assert!(
                is_stage,
                "{} is neither an argument nor a stage",
                stage.base
            ),
        }
        earlier.push(&stage.name);
    }
    assert_eq!(file.last().base, "${RUNTIME_IMAGE}");
}

#[test]
fn the_runtime_image_has_no_shell_and_the_glibc_of_the_build() {
    let file = dockerfile();
    let runtime = file.argument("RUNTIME_IMAGE");
    assert!(runtime.starts_with("gcr.io/distroless/"), "{runtime}");
    assert!(runtime.ends_with(":nonroot"), "{runtime}");
    // Debian 12 is bookworm.
    assert!(runtime.contains("-debian12:"), "{runtime}");
    assert!(file.argument("RUST_IMAGE").ends_with("-bookworm"));
    // Without a shell nothing can be run while building, and every command is in exec form.
    let last = file.last();
    assert_eq!(last.all("RUN"), [""; 0]);
    for instruction in ["ENTRYPOINT", "CMD"] {
        assert!(last.only(instruction).starts_with('['), "{instruction}");
    }
    assert!(last.only("HEALTHCHECK").contains(" CMD [\"/healthcheck\"]"));
}

#[test]
fn the_rust_of_the_build_is_new_enough() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let needed = manifest["workspace"]["package"]["rust-version"]
        .as_str()
        .unwrap();
    let file = dockerfile();
    let image = file.argument("RUST_IMAGE");
    let (_, tag) = image.rsplit_once(':').unwrap();
    let minor = |version: &str| -> u32 {
        let digits = version.strip_prefix("1.").unwrap();
        let end = digits.find(|c: char| !c.is_ascii_digit());
        digits[..end.unwrap_or(digits.len())].parse().unwrap()
    };
    assert!(
        minor(tag) >= minor(needed),
        "{image} is older than {needed}"
    );
}

#[test]
fn nothing_in_the_image_runs_as_root() {
    let file = dockerfile();
    let last = file.last();
    assert_eq!(last.only("USER"), "65532:65532");
    let owned = last
        .all("COPY")
        .into_iter()
        .find(|copy| copy.ends_with(" /data"));
    assert!(owned.unwrap().contains("--chown=65532:65532"));
    let after_user = last.steps.iter().skip_while(|(name, _)| name != "USER");
    assert!(after_user.clone().any(|(name, _)| name == "VOLUME"));
    // The binaries come last and belong to root: a process cannot change its own program.
    for (_, copy) in after_user.filter(|(name, _)| name == "COPY") {
        assert!(
            copy.contains(" /image/") && !copy.contains("--chown"),
            "{copy}"
        );
    }
}

#[test]
fn the_build_is_locked_and_takes_no_feature_that_breaks_things() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let default: Vec<&str> = manifest["features"]["default"]
        .as_array()
        .unwrap()
        .iter()
        .map(|feature| feature.as_str().unwrap())
        .collect();
    // The image leaves out every default feature; one that it needs has to be named here and there.
    assert_eq!(default, ["lab", "fault-hook"]);
    let file = dockerfile();
    let builds: Vec<&str> = file
        .stages
        .iter()
        .flat_map(|stage| stage.all("RUN"))
        .filter(|run| run.contains("cargo ") && !run.contains("chef prepare"))
        .collect();
    assert_eq!(builds.len(), 4, "{builds:?}");
    let mut with_lab = 0;
    for build in builds {
        assert!(build.contains("--locked"), "{build}");
        // The tool that builds the dependencies is none of ours.
        if build.contains("cargo install ") {
            continue;
        }
        assert!(build.contains(" --no-default-features "), "{build}");
        assert!(!build.contains("--all-features"), "{build}");
        let mut features = build.split(" --features ").skip(1);
        if let Some(named) = features.next() {
            assert!(named.starts_with("lab --bin "), "{build}");
            assert_eq!(features.next(), None, "{build}");
            with_lab += 1;
        }
    }
    assert_eq!(with_lab, 1);
}

#[test]
fn the_emulators_are_in_the_image_of_their_own_target_alone() {
    let file = dockerfile();
    let binaries = |image: &Stage| -> Vec<String> {
        let copies = image.all("COPY").into_iter();
        let copies = copies.filter(|copy| copy.contains(" /image/switchboard "));
        copies.map(str::to_owned).collect()
    };
    let (runtime, lab) = (file.image("runtime"), file.image("lab"));
    assert_eq!(file.last().name, "runtime");
    assert_eq!(
        binaries(runtime),
        ["--from=build /image/switchboard /image/healthcheck /"]
    );
    assert_eq!(
        binaries(lab),
        ["--from=build-lab /image/switchboard /image/healthcheck /"]
    );
    // All else is the same.
    let rest = |image: &Stage| -> Vec<(String, String)> {
        let steps = image.steps.iter();
        let steps = steps.filter(|(_, arguments)| !arguments.contains(" /image/"));
        steps.cloned().collect()
    };
    assert_eq!(rest(runtime), rest(lab));
    let built = file.stages.iter().find(|stage| stage.name == "build");
    let runs = built.unwrap().all("RUN");
    assert!(
        runs.iter().all(|run| !run.contains("--features")),
        "{runs:?}"
    );
}

#[test]
fn the_image_sets_what_the_settings_know_and_no_secret() {
    let file = dockerfile();
    let environment = file.last().environment();
    for (name, _) in &environment {
        let setting = variable(name);
        assert!(!setting.is_secret, "{name}");
    }
    let value = |wanted| {
        environment
            .iter()
            .find(|(name, _)| *name == wanted)
            .unwrap()
            .1
    };
    assert_eq!(value("SWITCHBOARD_DATA_DIR"), file.last().only("VOLUME"));
    // The health check does not read the file, so the port has to stand in the environment; and nothing more of the
    // address, which would keep a platform from setting the port.
    let ports: Vec<&str> = file.last().only("EXPOSE").split(' ').collect();
    assert_eq!(value("PORT"), ports[0]);
    let whole = environment
        .iter()
        .find(|(name, _)| *name == "SWITCHBOARD_LISTEN");
    assert_eq!(whole, None);
    let copied = format!("docker/switchboard.toml {}", value("SWITCHBOARD_CONFIG"));
    assert!(file.last().all("COPY").contains(&copied.as_str()));
}

#[test]
fn the_engine_stops_it_with_the_signal_that_drains() {
    assert_eq!(dockerfile().last().only("STOPSIGNAL"), "SIGTERM");
}

#[test]
fn the_label_names_the_version_of_the_package() {
    let file = dockerfile();
    let argument = format!("VERSION={}", env!("CARGO_PKG_VERSION"));
    assert!(file.last().all("ARG").contains(&argument.as_str()));
}

#[test]
fn only_what_the_build_reads_reaches_it() {
    let text = read(".dockerignore");
    let rules: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert_eq!(rules[0], "*", "everything is kept out");
    let let_in: Vec<&str> = rules
        .iter()
        .filter_map(|rule| rule.strip_prefix('!'))
        .collect();
    assert_eq!(
        let_in,
        [
            "Cargo.toml",
            "Cargo.lock",
            "src",
            "actors",
            "tests",
            "docker",
            "docker/switchboard.toml"
        ]
    );
    // Secrets lie beside the compose file.
    let last_exclusion = rules
        .iter()
        .rposition(|rule| !rule.starts_with('!'))
        .unwrap();
    assert_eq!(rules[last_exclusion], "docker/*");
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        let folder = member.as_str().unwrap().split('/').next().unwrap();
        assert!(
            folder == "." || let_in.contains(&folder),
            "{folder} is kept out"
        );
    }
}

#[test]
fn the_guides_run_the_binary_where_the_image_has_it() {
    let file = dockerfile();
    let last = file.last();
    let entry = last.only("ENTRYPOINT");
    let binary = entry.trim_matches(|c| matches!(c, '[' | ']' | '"'));
    let to = |copy: &str| copy.split(' ').next_back().map(str::to_owned);
    let copied = last
        .all("COPY")
        .into_iter()
        .find(|copy| copy.contains("/image/switchboard "));
    assert_eq!(
        copied.and_then(to).map(|folder| folder + "switchboard"),
        Some(binary.to_owned())
    );
    let guides = read("README.md") + &read("src/booking/README.md");
    let mut commands = 0;
    for rest in guides.split("docker compose exec switchboard ").skip(1) {
        let named = rest.split([' ', '`', '\n']).next().unwrap();
        assert_eq!(named, binary, "the image's PATH does not lead to it");
        commands += 1;
    }
    assert!(commands > 0);
}

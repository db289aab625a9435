//! What the compose file and the Caddyfile promise: hardened containers, no secret in sight, time for calls to end.

use std::collections::BTreeMap;

use serde_json::Value;
use switchboard::cli::{Cli, Command, Lab};
use switchboard::settings::{Settings, keys};

use super::dockerfile::Dockerfile;
use super::support::{default_seconds, read, seconds, variable};

/// Containers of our own image.
const OURS: [&str; 4] = ["switchboard", "tryout-model", "tryout-serve", "tryout-call"];

fn compose() -> Value {
    serde_saphyr::from_str(&read("docker/compose.yaml")).unwrap()
}

/// A container's environment; what the operator sets (`${NAME:-default}`) has its default.
fn environment(service: &Value) -> BTreeMap<String, String> {
    let Some(given) = service["environment"].as_object() else {
        return BTreeMap::new();
    };
    let text = |value: &Value| {
        value
            .as_str()
            .unwrap_or_else(|| panic!("{value} is no text"))
            .to_owned()
    };
    given
        .iter()
        .map(|(name, value)| (name.clone(), default_of(&text(value))))
        .collect()
}

/// `${NAME:-default}` as it is when nobody sets NAME.
fn default_of(text: &str) -> String {
    match text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
    {
        Some(inside) => inside
            .split_once(":-")
            .map_or("", |(_, default)| default)
            .to_owned(),
        None => text.to_owned(),
    }
}

/// The words of a list such as `command`.
fn words(list: &Value) -> Vec<&str> {
    list.as_array()
        .map(|list| list.iter().map(|word| word.as_str().unwrap()).collect())
        .unwrap_or_default()
}

/// The environment the image sets by itself, then the container's.
fn merged_environment(service: &Value) -> BTreeMap<String, String> {
    let file = Dockerfile::parse(&read("docker/Dockerfile"));
    let mut merged: BTreeMap<String, String> = file
        .last()
        .environment()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    merged.extend(environment(service));
    merged
}

/// What the settings make of a container's environment, with the shipped file and secrets an operator could have.
fn settings(mut given: BTreeMap<String, String>) -> Settings {
    let path = given.remove(keys::CONFIG_ENV).unwrap();
    let secrets: Vec<String> = given
        .keys()
        .filter(|name| name.ends_with("_FILE"))
        .cloned()
        .collect();
    for name in secrets {
        given.remove(&name);
        let secret = name.strip_suffix("_FILE").unwrap();
        given.insert(
            secret.to_owned(),
            "0123456789abcdef0123456789abcdef".to_owned(),
        );
    }
    Settings::from_toml(&read("docker/switchboard.toml"), path.as_ref(), &given).unwrap()
}

#[test]
fn every_container_is_hardened() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().unwrap() {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(words(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(
            words(&service["security_opt"]),
            ["no-new-privileges:true"],
            "{name}"
        );
        assert!(
            service.get("privileged").is_none() && service.get("user").is_none(),
            "{name}"
        );
        assert_eq!(service["ulimits"]["core"], 0, "{name}");
        let processes = service["pids_limit"].as_u64().unwrap();
        assert!((64..=1_024).contains(&processes), "{name}");
        let memory = mebibytes(service["mem_limit"].as_str().unwrap());
        assert!((256..=4_096).contains(&memory), "{name}");
        let added = words(&service["cap_add"]);
        // The proxy's ports are below 1024.
        let allowed: &[&str] = if name == "proxy" {
            &["NET_BIND_SERVICE"]
        } else {
            &[]
        };
        assert_eq!(added, allowed, "{name}");
        assert_eq!(
            OURS.contains(&name.as_str()),
            service["build"].is_object(),
            "{name}"
        );
    }
}

/// A size of Compose in MiB, such as `512m` or `1g`.
fn mebibytes(text: &str) -> u64 {
    let (digits, unit) = text.split_at(text.len() - 1);
    let number: u64 = digits.parse().unwrap();
    match unit {
        "m" => number,
        "g" => number * 1_024,
        _ => panic!("{text:?} has no unit"),
    }
}

#[test]
fn production_runs_the_image_without_emulators_and_the_tryout_the_one_with_them() {
    let compose = compose();
    let file = Dockerfile::parse(&read("docker/Dockerfile"));
    let mut images = BTreeMap::new();
    for name in OURS {
        let service = &compose["services"][name];
        let target = service["build"]["target"].as_str().unwrap();
        let expected = if name == "switchboard" {
            "runtime"
        } else {
            "lab"
        };
        assert_eq!(target, expected, "{name}");
        assert_eq!(file.image(target).name, target);
        images.insert(target, service["image"].as_str().unwrap());
    }
    assert_ne!(images["runtime"], images["lab"]);
}

#[test]
fn only_the_proxy_is_reached_from_outside() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().unwrap() {
        let expected: &[&str] = if name == "proxy" {
            &["80:80", "443:443"]
        } else {
            &[]
        };
        assert_eq!(words(&service["ports"]), expected, "{name}");
        assert_ne!(service["network_mode"], "host", "{name}");
    }
}

#[test]
fn every_variable_is_a_setting_and_none_holds_a_secret() {
    let compose = compose();
    for name in OURS {
        for variable_name in environment(&compose["services"][name]).keys() {
            assert!(
                !variable(variable_name).is_secret,
                "{name}: {variable_name}"
            );
        }
    }
}

#[test]
fn the_secrets_are_files_that_stay_out_of_the_repository() {
    let compose = compose();
    let service = &compose["services"]["switchboard"];
    let mounted = words(&service["secrets"]);
    let mut named: Vec<String> = environment(service)
        .into_iter()
        .filter(|(name, _)| name.ends_with("_FILE"))
        .map(|(_, path)| path.strip_prefix("/run/secrets/").unwrap().to_owned())
        .collect();
    named.sort_unstable();
    assert_eq!(mounted, named);
    let ignored = read("docker/.gitignore");
    assert!(ignored.lines().any(|line| line == "/secrets/"));
    for name in mounted {
        assert_eq!(
            compose["secrets"][name]["file"],
            format!("./secrets/{name}")
        );
    }
    // Whatever a secret could look like: Twilio's and OpenAI's keys, and long random texts.
    for file in [
        "docker/compose.yaml",
        "docker/Dockerfile",
        "docker/Caddyfile",
        "docker/haproxy.cfg",
        "docker/nginx.conf",
        "docker/switchboard.toml",
    ] {
        let text = read(file);
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_') {
            let is_key = ["sk-", "SK", "AC"].iter().any(|prefix| {
                let rest = word.strip_prefix(prefix).unwrap_or_default();
                rest.len() >= 20
            });
            let digits = word.chars().filter(char::is_ascii_digit).count();
            let is_random = word.len() >= 24 && digits >= 4;
            assert!(!is_key && !is_random, "{file}: {word}");
        }
    }
}

#[test]
fn the_service_starts_with_what_the_compose_file_gives_it() {
    let compose = compose();
    let mut given = merged_environment(&compose["services"]["switchboard"]);
    given.insert(
        "SWITCHBOARD_PUBLIC_URL".to_owned(),
        "https://voice.example.com".to_owned(),
    );
    let settings = settings(given);
    assert!(!settings.is_dev());
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    let data = settings.data.dir.to_str().unwrap();
    let volumes = words(&compose["services"]["switchboard"]["volumes"]).join(" ");
    assert!(volumes.contains(&format!("data:{data}")), "{volumes}");
    let upstream = format!("switchboard:{}", settings.server.listen.port());
    assert!(read("docker/Caddyfile").contains(&upstream));
}

#[test]
fn a_missing_public_address_is_told_and_not_made_up() {
    let mut given = merged_environment(&compose()["services"]["switchboard"]);
    given.remove(keys::CONFIG_ENV);
    given.retain(|name, _| !name.ends_with("_FILE"));
    given.insert("OPENAI_API_KEY".to_owned(), "a".to_owned());
    let refusal = Settings::from_toml("", "none".as_ref(), &given)
        .err()
        .unwrap();
    assert!(
        refusal.to_string().contains("SWITCHBOARD_PUBLIC_URL"),
        "{refusal}"
    );
}

#[test]
fn a_stop_leaves_time_for_the_drain() {
    let compose = compose();
    let service = &compose["services"]["switchboard"];
    let drain: u64 = environment(service)["SWITCHBOARD_DRAIN_SECONDS"]
        .parse()
        .unwrap();
    assert_eq!(drain, default_seconds(&keys::DRAIN_SECONDS));
    let grace = seconds(service["stop_grace_period"].as_str().unwrap());
    assert!(grace >= drain + 30, "{grace} s");
    // Compose stops what depends on others first: the calls drain through a proxy that is still there.
    assert_eq!(words(&service["depends_on"]), ["proxy"]);
    assert!(compose["services"]["proxy"].get("depends_on").is_none());
}

#[test]
fn the_proxy_outlives_the_longest_call() {
    let caddyfile = read("docker/Caddyfile");
    let value = |directive: &str| {
        let line = caddyfile
            .lines()
            .map(str::trim)
            .find_map(|line| line.strip_prefix(directive));
        line.unwrap_or_else(|| panic!("no {directive}"))
            .trim()
            .to_owned()
    };
    assert_eq!(value("stream_timeout "), "0");
    assert_eq!(value("flush_interval "), "-1");
    assert_eq!(value("compression "), "off");
    let delay = seconds(&value("stream_close_delay "));
    assert!(delay >= default_seconds(&keys::MAX_CALL_SECONDS));
    assert!(delay >= default_seconds(&keys::DRAIN_SECONDS));
    for (file, directives) in [
        (
            "docker/nginx.conf",
            ["proxy_read_timeout ", "proxy_send_timeout "],
        ),
        (
            "docker/haproxy.cfg",
            ["timeout tunnel ", "hard-stop-after "],
        ),
    ] {
        let text = read(file);
        for directive in directives {
            let mut lines = text.lines().map(str::trim);
            let limit = lines.find_map(|line| line.strip_prefix(directive));
            let limit = limit.unwrap_or_else(|| panic!("{file}: no {directive}"));
            let limit = seconds(limit.trim_end_matches(';'));
            assert!(
                limit >= default_seconds(&keys::MAX_CALL_SECONDS),
                "{file}: {directive}"
            );
        }
    }
    // A retried webhook has to be answered while Twilio, which waits 15 s, still listens.
    assert!(seconds(&value("lb_try_duration ")) < 15);
    assert!(seconds(&value("response_header_timeout ")) < 15);
    // Sockets are written and read for an hour: no limit on either, no compression, no log of tickets in paths.
    for directive in ["write ", "read_body ", "encode", "log"] {
        let found = caddyfile
            .lines()
            .find(|line| line.trim().starts_with(directive));
        assert_eq!(found, None, "{directive}");
    }
    let (opened, closed) = (
        caddyfile.matches('{').count(),
        caddyfile.matches('}').count(),
    );
    assert_eq!(opened, closed);
}

#[test]
fn the_tryout_is_wired_over_loopback_alone() {
    let compose = compose();
    let services = &compose["services"];
    for name in &OURS[1..] {
        assert_eq!(words(&services[*name]["profiles"]), ["tryout"]);
        let network = if *name == "tryout-model" {
            "none"
        } else {
            "service:tryout-model"
        };
        assert_eq!(services[*name]["network_mode"], network, "{name}");
    }
    assert!(services["switchboard"].get("profiles").is_none());

    let settings = settings(merged_environment(&services["tryout-serve"]));
    assert!(settings.is_dev());
    let command = |name: &str| {
        let mut line = vec!["switchboard"];
        line.extend(words(&services[name]["command"]));
        Cli::read(line.iter().map(Into::into)).unwrap().command()
    };
    let Command::Lab(Lab::EmulateModel(model)) = command("tryout-model") else {
        panic!("tryout-model runs something else");
    };
    assert!(model.listen.ip().is_loopback());
    assert_eq!(
        settings.openai.url.as_str(),
        format!("ws://{}/v1/realtime", model.listen)
    );
    let Command::Lab(Lab::Call(call)) = command("tryout-call") else {
        panic!("tryout-call runs something else");
    };
    assert_eq!(
        call.to.as_str(),
        format!("http://{}/", settings.server.listen)
    );
    assert_eq!(
        services["tryout-call"]["depends_on"]["tryout-serve"]["condition"],
        "service_healthy"
    );
}

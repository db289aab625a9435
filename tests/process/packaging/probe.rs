//! The image's health check against the real service.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A service on ports of its own; killed when dropped.
struct Service {
    process: Child,
    public: String,
}

impl Service {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_switchboard"))
            .arg("serve")
            .env_clear()
            .env("SWITCHBOARD_DEV", "1")
            .env("SWITCHBOARD_LISTEN", "127.0.0.1:0")
            .env("SWITCHBOARD_ADMIN_LISTEN", "127.0.0.1:0")
            .env("SWITCHBOARD_STORE", "memory")
            .env("SWITCHBOARD_LOG_FORMAT", "json")
            .env("SWITCHBOARD_WORKERS", "1")
            .env("OPENAI_REALTIME_URL", "ws://127.0.0.1:9/v1/realtime")
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let public = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            (event["msg"] == "serving").then(|| event["public"].as_str().unwrap().to_owned())
        });
        // A service whose log nobody reads would stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            public: public.unwrap(),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The health check's exit code and what it complained of.
fn check(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_healthcheck"))
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn the_health_check_tells_a_service_that_works_from_one_that_is_gone() {
    let service = Service::start();
    let (_, port) = service.public.rsplit_once(':').unwrap();
    let listen = service.public.clone();
    assert_eq!(
        check(&[("SWITCHBOARD_LISTEN", &listen)]),
        (Some(0), String::new())
    );
    // As in the image: every interface, and the platform's port.
    assert_eq!(check(&[("PORT", port)]), (Some(0), String::new()));
    // Beside a whole address a port says nothing, to the service neither.
    let beside = [("SWITCHBOARD_LISTEN", listen.as_str()), ("PORT", "9")];
    assert_eq!(check(&beside), (Some(0), String::new()));

    drop(service);
    let (code, complaint) = check(&[("SWITCHBOARD_LISTEN", &listen)]);
    assert_eq!(code, Some(1));
    assert!(
        complaint.contains(&listen) && complaint.contains("refused"),
        "{complaint}"
    );
}

#[test]
fn the_health_check_refuses_an_address_it_cannot_read() {
    let (code, complaint) = check(&[("SWITCHBOARD_LISTEN", "everywhere")]);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("SWITCHBOARD_LISTEN"), "{complaint}");
}

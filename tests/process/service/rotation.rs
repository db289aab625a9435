//! Secrets that are rotated while the service runs: the next one is in force before the last one leaves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use switchboard_actors::twilio::rest::{Change, Rest, RestError};
use switchboard_kit::realtime::Running;
use switchboard_kit::twilio::signature::{SIGNATURE_HEADER, sign};
use switchboard_kit::twilio::{CallEnd, RestApi, Step};

use test_support::child::Serving;
use test_support::http::{Request, ring};
use test_support::phone::{Leg, connect_of, path_of, sid};
use test_support::{
    ACCOUNT, AGENT, PUBLIC, SOON, brief, caller, environment, line_to, listen, until,
};

const OLD: &str = "rotation-auth-token-old-0123456789";
const NEW: &str = "rotation-auth-token-new-0123456789";
const OPERATOR: &str = "rotation-admin-token-1";
const NEXT_OPERATOR: &str = "rotation-admin-token-2";
const MODEL_KEY_TO_COME: &str = "rotation-model-key-new-0123456789";

/// A service whose secrets stand in its file.
struct Vault {
    folder: PathBuf,
    model: Running,
    serving: Serving,
    reloads: usize,
}

/// Sections of the file with secrets.
fn secrets(twilio: &str, admin: &str, model: &str) -> String {
    format!(
        "[twilio]\n{twilio}\n[admin]\ntoken = \"{admin}\"\n[openai]\napi_key = \"{model}\"\n{AGENT}"
    )
}

fn token(token: &str) -> String {
    format!("auth_token = \"{token}\"")
}

fn tokens(first: &str, second: &str) -> String {
    format!("auth_token = \"{first}\"\nauth_token_secondary = \"{second}\"")
}

impl Vault {
    async fn start(name: &str, public_url: &str, toml: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("switchboard-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("switchboard.toml");
        std::fs::write(&file, toml).unwrap();
        let model = brief().keys([MODEL_KEY_TO_COME]).start().await.unwrap();
        let mut variables: BTreeMap<String, String> = environment(
            &model.url(),
            &[
                ("SWITCHBOARD_CONFIG", file.to_str().unwrap().to_owned()),
                ("SWITCHBOARD_PUBLIC_URL", public_url.to_owned()),
            ],
        );
        for in_the_file in [
            "TWILIO_AUTH_TOKEN",
            "SWITCHBOARD_ADMIN_TOKEN",
            "OPENAI_API_KEY",
        ] {
            variables.remove(in_the_file);
        }
        let serving = Serving::start(&variables).await;
        Self {
            folder,
            model,
            serving,
            reloads: 0,
        }
    }

    /// Gives the keys that were renewed, and those that need a restart.
    async fn reload(&mut self, toml: &str) -> (Vec<String>, Vec<String>) {
        let before = self.serving.lines().len();
        std::fs::write(self.folder.join("switchboard.toml"), toml).unwrap();
        self.reloads += 1;
        self.serving.signal("HUP");
        until("the settings are reloaded", SOON, async || {
            self.serving.count("\"settings reloaded\"") == self.reloads
        })
        .await;
        let keys = |message: &str| {
            let lines = self.serving.lines();
            let lines = lines[before..].iter();
            let events =
                lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let told = events.filter(|event| event["msg"] == message);
            told.map(|event| event["key"].as_str().unwrap().to_owned())
                .collect()
        };
        (keys("secret renewed"), keys("changed, but needs a restart"))
    }

    /// The status of a webhook that Twilio signs with a token for a base address.
    async fn rings(&self, token: &str, base: &str) -> u16 {
        self.ring(token, base).await.0
    }

    /// The same with the path of the media socket.
    async fn ring(&self, token: &str, base: &str) -> (u16, Option<String>) {
        let call = sid("CA");
        let fields = ring(&call, "+15550142");
        let signature = sign(token, &format!("{base}/incoming-call"), &fields);
        let request = Request::form("/incoming-call", &fields).header(SIGNATURE_HEADER, &signature);
        let reply = request.send(self.serving.public).await;
        let path = (reply.status == 200).then(|| path_of(&connect_of(&reply).stream.url));
        (reply.status, path)
    }

    async fn operator(&self, token: &str) -> u16 {
        let request =
            Request::new("GET", "/admin/calls").header("Authorization", &format!("Bearer {token}"));
        request.send(self.serving.admin).await.status
    }

    /// At once: calls that rang and never came would be waited for.
    fn end(self) {
        drop(self.serving);
        let _ = std::fs::remove_dir_all(self.folder);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_auth_token_is_believed_before_the_last_one_leaves() {
    let toml = |twilio: &str| secrets(twilio, OPERATOR, MODEL_KEY_TO_COME);
    let mut vault = Vault::start("rotation", PUBLIC, &toml(&token(OLD))).await;
    let both = async |vault: &Vault| {
        [
            vault.rings(OLD, PUBLIC).await,
            vault.rings(NEW, PUBLIC).await,
        ]
    };
    assert_eq!(both(&vault).await, [200, 403]);
    // The next one beside it, then in its place.
    let (renewed, restart) = vault.reload(&toml(&tokens(OLD, NEW))).await;
    assert_eq!(
        (renewed.concat().as_str(), restart.len()),
        ("twilio.auth_token_secondary", 0)
    );
    assert_eq!(both(&vault).await, [200, 200]);
    assert_eq!(vault.rings("another-token", PUBLIC).await, 403);
    let (renewed, _) = vault.reload(&toml(&tokens(NEW, OLD))).await;
    assert_eq!(
        renewed,
        ["twilio.auth_token", "twilio.auth_token_secondary"]
    );
    assert_eq!(both(&vault).await, [200, 200]);
    // A caller between two webhooks while the last one leaves: the ticket still opens the socket.
    let (_, path) = vault.ring(OLD, PUBLIC).await;
    let (renewed, _) = vault.reload(&toml(&token(NEW))).await;
    assert_eq!(renewed, ["twilio.auth_token_secondary"]);
    assert_eq!(both(&vault).await, [403, 200]);
    let path = path.unwrap();
    for (token, opens) in [(OLD, Some(403)), (NEW, None)] {
        let signature = sign::<&str, &str>(token, &format!("wss://spa.example{path}"), &[]);
        let leg = Leg::open(vault.serving.public, &path, &[&signature]).await;
        assert_eq!(leg.err(), opens);
    }
    // The same again is no change.
    assert_eq!(vault.reload(&toml(&token(NEW))).await, (vec![], vec![]));
    vault.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_admin_token_opens_and_the_model_gets_the_key_of_the_last_reading() {
    let toml = |admin: &str, model: &str| secrets(&token(OLD), admin, model);
    let mut vault = Vault::start("admin-rotation", PUBLIC, &toml(OPERATOR, "a-key-that-was")).await;
    let both = async |vault: &Vault| {
        [
            vault.operator(OPERATOR).await,
            vault.operator(NEXT_OPERATOR).await,
        ]
    };
    assert_eq!(both(&vault).await, [200, 401]);
    let pair = format!("{OPERATOR} {NEXT_OPERATOR}");
    let (renewed, restart) = vault.reload(&toml(&pair, MODEL_KEY_TO_COME)).await;
    assert_eq!(
        (renewed, restart),
        (
            vec!["admin.token".to_owned(), "openai.api_key".to_owned()],
            vec![]
        )
    );
    assert_eq!(both(&vault).await, [200, 200]);
    for wrong in [pair.as_str(), "", "rotation-admin-token-"] {
        assert_eq!(vault.operator(wrong).await, 401, "{wrong:?}");
    }
    let mut line = line_to(vault.serving.public);
    line.account.auth_token = OLD.to_owned();
    let outcome = line.call(caller(vec![listen(), Step::HangUp])).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.dialled(), [""; 0], "the model was reached");
    assert_eq!(vault.model.sessions().len(), 1);
    let (renewed, _) = vault.reload(&toml(NEXT_OPERATOR, MODEL_KEY_TO_COME)).await;
    assert_eq!(renewed, ["admin.token"]);
    assert_eq!(both(&vault).await, [401, 200]);
    // What only a restart changes is told once, and not when it is as it was at the start.
    let more = |calls: usize| {
        format!(
            "{}[limits]\nmax_calls = {calls}\n",
            toml(NEXT_OPERATOR, MODEL_KEY_TO_COME)
        )
    };
    let told = vec!["limits.max_calls".to_owned()];
    assert_eq!(vault.reload(&more(7)).await, (vec![], told.clone()));
    assert_eq!(vault.reload(&more(7)).await, (vec![], vec![]));
    assert_eq!(vault.reload(&more(8)).await, (vec![], told));
    assert_eq!(vault.reload(&more(500)).await, (vec![], vec![]));
    vault.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_url_is_believed_as_it_is_written_and_in_its_normal_form() {
    for (number, written) in [
        "https://Spa.Example",
        "https://spa.example.",
        "https://spa.example:443/",
        "HTTPS://SPA.EXAMPLE:443",
    ]
    .into_iter()
    .enumerate()
    {
        let toml = secrets(&token(OLD), OPERATOR, MODEL_KEY_TO_COME);
        let vault = Vault::start(&format!("spelling-{number}"), written, &toml).await;
        let as_written = written.trim_end_matches('/').replace("HTTPS", "https");
        for base in [as_written.as_str(), PUBLIC, "https://spa.example:443"] {
            let (status, path) = vault.ring(OLD, base).await;
            assert_eq!(status, 200, "{written}: signed for {base}");
            // TwiML has the normal form, and so has what Twilio signs for it.
            let path = path.unwrap();
            let signature = sign::<&str, &str>(OLD, &format!("wss://spa.example{path}"), &[]);
            let leg = Leg::open(vault.serving.public, &path, &[&signature]).await;
            assert!(leg.is_ok(), "{written}: {:?}", leg.err());
        }
        for other in [
            "https://spa.example.evil",
            "https://other.example",
            "http://spa.example",
        ] {
            assert_eq!(vault.rings(OLD, other).await, 403, "{written}: {other}");
        }
        vault.end();
    }
}

#[tokio::test]
async fn twilio_is_asked_with_the_credentials_of_the_last_reading() {
    let api = RestApi::start(ACCOUNT, ACCOUNT, NEW).await.unwrap();
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url = api.url().parse().unwrap();
    let rest = Rest::new(&url, ACCOUNT, (ACCOUNT, OLD), Arc::new(tls));
    tokio::task::LocalSet::new()
        .run_until(async {
            let call = call_protocol::phone::CallSid::parse(&sid("CA")).unwrap();
            let refused = rest.change(call, &Change::Complete).await;
            assert_eq!(
                refused,
                Err(RestError::Refused {
                    status: 401,
                    code: 20_003
                })
            );
            rest.log_in((ACCOUNT, NEW));
            // It knows no such call, and says so to those it knows.
            assert_eq!(
                rest.change(call, &Change::Complete).await,
                Err(RestError::Over)
            );
        })
        .await;
}

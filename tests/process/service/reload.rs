//! Settings read again while calls live, and what an agent's instructions are told: the real binary, real signals.

use std::path::PathBuf;

use switchboard_kit::realtime::{Running, Session};
use switchboard_kit::twilio::{CallEnd, CallOutcome, DialAnswer, Line, Step};
use tokio::task::JoinHandle;

use test_support::child::Serving;
use test_support::{MODEL_KEY, PUBLIC, SOON, brief, caller, environment, line_to, listen, until};

/// A service with a file of its own.
struct Desk {
    folder: PathBuf,
    model: Running,
    serving: Serving,
}

impl Desk {
    async fn start(name: &str, toml: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("switchboard-reload-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("switchboard.toml");
        std::fs::write(&file, toml).unwrap();
        let model = brief().keys([MODEL_KEY]).start().await.unwrap();
        let more = [
            ("SWITCHBOARD_CONFIG", file.to_str().unwrap().to_owned()),
            (
                "SWITCHBOARD_DATA_DIR",
                folder.join("data").to_str().unwrap().to_owned(),
            ),
        ];
        let serving = Serving::start(&environment(&model.url(), &more)).await;
        Self {
            folder,
            model,
            serving,
        }
    }

    /// Changes the file and sends SIGHUP; waits for the so-many-th line with that message.
    async fn reload(&self, toml: &str, message: &str, times: usize) {
        std::fs::write(self.folder.join("switchboard.toml"), toml).unwrap();
        self.serving.signal("HUP");
        let wanted = format!("\"msg\":\"{message}\"");
        until("the log says what became of the reload", SOON, async || {
            self.serving
                .lines()
                .iter()
                .filter(|line| line.contains(&wanted))
                .count()
                >= times
        })
        .await;
    }

    fn line(&self) -> Line {
        let mut line = line_to(self.serving.public);
        line.dial = vec![DialAnswer::Answered { talk_ms: 100 }];
        line
    }

    async fn session(&self, number: usize) -> Session {
        let session = self.model.wait_for_session(number, SOON).await.unwrap();
        assert!(
            session
                .until(SOON, |session| !session
                    .received_of("session.update")
                    .is_empty())
                .await
        );
        session
    }

    async fn end(self) {
        let Self {
            folder, serving, ..
        } = self;
        serving.stop().await;
        let _ = std::fs::remove_dir_all(folder);
    }
}

fn instructions(session: &Session) -> String {
    session.received_of("session.update")[0]["session"]["instructions"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn phone(line: Line, steps: Vec<Step>) -> JoinHandle<CallOutcome> {
    tokio::spawn(async move { line.call(caller(steps)).await })
}

fn service(instructions: &str, front_desk: &str) -> String {
    format!(
        "[agents.spa]\ninstructions = \"{instructions}\"\ngreeting = {{ mode = \"model\", text = \"Greet.\" }}\n\
         keys = {{ \"0\" = \"front_desk\" }}\n[transfer.targets]\nfront_desk = \"{front_desk}\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn new_calls_get_the_new_settings_and_live_ones_keep_theirs() {
    let desk = Desk::start("live", &service("You are the old one.", "+15550111")).await;
    // Presses 0 only after the settings were changed under the call.
    let old = phone(
        desk.line(),
        vec![
            listen(),
            Step::Wait { ms: 2_500 },
            Step::Keys("0".to_owned()),
        ],
    );
    assert_eq!(instructions(&desk.session(1).await), "You are the old one.");

    let changed = service("You are the new one.", "+15550122") + "[limits]\nmax_calls = 7\n";
    desk.reload(&changed, "settings reloaded", 1).await;
    let new = phone(desk.line(), vec![listen(), Step::Keys("0".to_owned())]);
    assert_eq!(instructions(&desk.session(2).await), "You are the new one.");
    assert_eq!(new.await.unwrap().dialled(), ["+15550122"]);
    assert_eq!(
        old.await.unwrap().dialled(),
        ["+15550111"],
        "the number of its own reading"
    );

    let told = desk.serving.event("changed, but needs a restart").unwrap();
    assert_eq!(told["key"], "limits.max_calls");
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_the_log_says_why() {
    let good = service("You are the one.", "+15550111");
    let desk = Desk::start("bad", &good).await;
    let refused = "settings not reloaded, nothing is changed";
    let rows = [
        (
            good.replace("+15550111", "nobody"),
            "transfer.targets.front_desk is not a phone number",
        ),
        (
            good.replace("the one", "{{the one}}"),
            "agents.spa.instructions names \\\"{{the one}}\\\"",
        ),
        (
            good.replace("instructions", "instruction"),
            "did you mean agents.spa.instructions?",
        ),
        ("not toml".to_owned(), "is not valid TOML at line 1"),
        (
            good.replace(
                "mode = \"model\", text = \"Greet.\"",
                "mode = \"clip\", clip = \"gone.wav\"",
            ),
            "gone.wav",
        ),
    ];
    for (number, (bad, why)) in rows.iter().enumerate() {
        desk.reload(bad, refused, number + 1).await;
        let lines = desk.serving.lines();
        let said = lines.iter().rfind(|line| line.contains(refused)).unwrap();
        assert!(said.contains(why), "{why}: {said}");
    }
    let outcome = phone(desk.line(), vec![listen(), Step::Keys("0".to_owned())])
        .await
        .unwrap();
    assert_eq!(outcome.dialled(), ["+15550111"]);
    assert_eq!(instructions(&desk.session(1).await), "You are the one.");
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instructions_are_told_who_calls_and_what_the_clock_of_the_house_says() {
    let asks = "{{agent}}/{{caller}}/{{date}}/{{time_of_day}}/{{opening_hours}}";
    let desk = Desk::start("told", &service(asks, "+15550111")).await;
    let mut withheld = desk.line();
    withheld.from = "+266696687".to_owned();
    let mut shown = desk.line();
    shown.from = "+15550142".to_owned();
    for (number, (line, caller)) in [(shown, "+15550142"), (withheld, "unknown")]
        .into_iter()
        .enumerate()
    {
        let call = phone(line, vec![listen(), Step::HangUp]);
        let told = instructions(&desk.session(number + 1).await);
        let parts: Vec<&str> = told.split('/').collect();
        assert_eq!((parts[0], parts[1]), ("spa", caller), "{told}");
        // The spa's clock, not this machine's.
        let berlin = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let around = [-1, 0].map(|minutes| {
            let at = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
            at.to_zoned(berlin.clone())
        });
        assert!(
            around
                .iter()
                .any(|at| parts[2] == at.strftime("%A %-d %B %Y").to_string()),
            "{told}"
        );
        assert!(
            around
                .iter()
                .any(|at| parts[3].starts_with(&at.strftime("%H:%M ").to_string())),
            "{told}"
        );
        assert!(
            parts[4].starts_with("Monday to Saturday 09:00 to 20:00, Sunday 10:00 to 18:00"),
            "{told}"
        );
        assert_eq!(call.await.unwrap().end, CallEnd::CallerHungUp);
    }
    assert!(desk.folder.join("data/book.sqlite").exists());
    assert!(
        !desk
            .serving
            .lines()
            .iter()
            .any(|line| line.contains("5550142")),
        "the number is in no log line in full"
    );
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_s_url_can_name_the_agent() {
    let two = "default_agent = \"spa\"\n[agents.spa]\ninstructions = \"You are the spa.\"\ngreeting = { mode = \"model\", text = \"Greet.\" }\n\
               [agents.night]\ninstructions = \"You are the night.\"\nnumbers = [\"+15550999\"]\ngreeting = { mode = \"model\", text = \"Greet.\" }\n";
    let desk = Desk::start("named", two).await;
    for (number, (query, told)) in [
        ("", "spa"),
        ("?agent=night", "night"),
        ("?agent=nobody", "spa"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut line = desk.line();
        line.webhook = url::Url::parse(&format!("{PUBLIC}/incoming-call{query}")).unwrap();
        let outcome = phone(line, vec![listen(), Step::HangUp]).await.unwrap();
        assert_eq!(outcome.end, CallEnd::CallerHungUp);
        assert_eq!(
            instructions(&desk.session(number + 1).await),
            format!("You are the {told}."),
            "{query}"
        );
        // The stream says who answers, for whoever reads it.
        let said = format!("<Parameter name=\"agent\" value=\"{told}\"/>");
        assert!(outcome.documents[0].body.contains(&said), "{query}");
    }
    // A document of one's own hands the call to an agent by a jump.
    let own = test_support::process_fixture::standing_document(
        "<Response><Redirect>https://spa.example/incoming-call?agent=night</Redirect></Response>",
    )
    .await;
    let mut line = desk.line();
    line.webhook = url::Url::parse(&format!("http://{own}/")).unwrap();
    let outcome = phone(line, vec![listen(), Step::HangUp]).await.unwrap();
    assert_eq!(
        outcome.end,
        CallEnd::CallerHungUp,
        "{:?}",
        outcome.documents
    );
    assert_eq!(instructions(&desk.session(4).await), "You are the night.");
    desk.end().await;
}

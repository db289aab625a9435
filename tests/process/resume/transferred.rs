//! A process that dies while the front desk rings: another one brings the caller back to the agent.

use switchboard_kit::twilio::{CallEnd, DialAnswer, Pace, Scripted, Step};

use test_support::child::Serving;
use test_support::process_fixture::{Folder, metrics, operator};
use test_support::{AGENT, MODEL_KEY, SOON, brief, line_to, listen, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_caller_nobody_took_comes_back_to_whichever_process_is_there() {
    let folder = Folder::new();
    let file = folder.0.join("switchboard.toml");
    let keys = "keys = { \"0\" = \"front_desk\" }\n[fallback]";
    let targets = "[transfer.targets]\nfront_desk = \"+15550188\"\n";
    let toml = format!("{}{targets}", AGENT.replacen("[fallback]", keys, 1));
    std::fs::write(&file, toml).unwrap();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let config = [("SWITCHBOARD_CONFIG", file.display().to_string())];
    let variables = folder.variables(&model.url(), &config);
    let mut first = Serving::start(&variables).await;
    let second = Serving::start(&variables).await;
    let mut line = line_to(first.public);
    line.dial = vec![DialAnswer::NoAnswer];
    // It rings for four seconds.
    line.pace = Pace {
        ms_per_second: 200,
        ..Pace::fast()
    };
    let route = line.route.clone().unwrap();
    let steps = [
        listen(),
        Step::Keys("0".to_owned()),
        Step::Wait { ms: 60_000 },
    ];
    let call = tokio::spawn(async move { line.call(Scripted::new(steps, 30_000)).await });
    until("the front desk is called", SOON, async || {
        first.event("after the stream").is_some()
    })
    .await;
    // The answer is on its way; then nobody is there any more.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    route.set_targets(vec![second.public]);
    first.signal("KILL");
    first.ended(SOON).await;
    until("the agent is heard again", SOON, async || {
        let scrape = metrics(&second).await;
        scrape.get("switchboard_resumes_total{result=\"ok\"}") == 1.0
    })
    .await;
    let row = operator(&second, "GET", "/admin/calls").await.json();
    let sid = row["calls"][0]["call_sid"].as_str().unwrap();
    let told = model.session(2).unwrap();
    let told = format!("{:?}", told.received_of("conversation.item.create"));
    assert!(
        told.contains("You: Hello.") && told.contains("front_desk did not answer"),
        "{told}"
    );
    let ended = operator(&second, "POST", &format!("/admin/calls/{sid}/hangup")).await;
    assert_eq!(ended.status, 202);
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::HungUp, "{:?}", outcome.documents);
    assert_eq!(outcome.dialled(), ["+15550188"]);
    assert_eq!(outcome.streams.len(), 2);
}

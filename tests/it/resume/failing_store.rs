//! A store that fails is the store's problem: calls go on.

use switchboard_kit::twilio::{CallEnd, Step};

use test_support::process_fixture::Folder;
use test_support::{Options, SOON, TestService, brief, caller, listen, say, times, until};

#[tokio::test]
async fn a_store_that_cannot_write_disturbs_no_call_and_needs_no_restart() {
    let folder = Folder::new();
    let data = folder.0.join("data");
    // A file where the directory should be: as good as a disk that is full or gone.
    std::fs::write(&data, "in the way").unwrap();
    let options = Options::default()
        .model(brief())
        .with("SWITCHBOARD_STORE", "sqlite")
        .with("SWITCHBOARD_DATA_DIR", &data.display().to_string());
    let service = TestService::start(options).await;
    let steps = || [listen(), say("hello"), listen(), Step::HangUp];
    let outcome = service.line().call(caller(steps())).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams[0].agent_speech.len(), 2);
    let webhook_ms = outcome.documents[0].took_ms;
    times::within_ms(webhook_ms, 500, "webhook");

    std::fs::remove_file(&data).unwrap();
    let file = data.join("calls.sqlite");
    let call = tokio::spawn({
        let line = service.line();
        async move {
            line.call(caller([listen(), Step::Wait { ms: 500 }, Step::HangUp]))
                .await
        }
    });
    until("the file is made", SOON, async || file.exists()).await;
    assert_eq!(call.await.unwrap().end, CallEnd::CallerHungUp);
    service.stop().await;
    println!(
        "F16 store away: webhook answered after {webhook_ms} ms, call undisturbed, file made again without a restart"
    );
}

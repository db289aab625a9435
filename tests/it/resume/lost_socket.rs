//! A media socket that is lost while the process lives: the same conversation goes on, on the next one.

use std::time::Duration;

use serde_json::json;

use test_support::http::{Request, ring};
use test_support::phone::sid;
use test_support::{Options, SOON, TestService, brief, until};

#[tokio::test]
async fn a_lost_socket_costs_a_pause_not_the_conversation() {
    let service = TestService::start(Options::default().model(brief())).await;
    let call = sid("CA");
    let mut leg = service.pick_up(&call).await;
    leg.begin().await;
    // Half a second of greeting, heard by the clock.
    for _ in 0..60 {
        leg.media().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(leg);
    until("the loss is noticed", SOON, async || {
        service
            .metric("switchboard_calls_total{outcome=\"phone_lost\"}")
            .await
            > 0.0
    })
    .await;
    // Asking what follows, as often as one likes, is harmless: the answer is the same until its ticket is used.
    let ask = async || {
        let reply = Request::signed("/after-stream", &ring(&call, "+15550142"))
            .send(service.public)
            .await;
        reply.text()
    };
    let first = ask().await;
    assert_eq!(first, ask().await);
    // The number's fallback URL may be the webhook itself.
    let mut failed = ring(&call, "+15550142");
    failed.push(("ErrorCode", "11200"));
    failed.push(("ErrorUrl", "https://spa.example/after-stream"));
    let next = Request::signed("/incoming-call", &failed)
        .send(service.public)
        .await;
    assert_eq!(first, next.text());
    let mut leg = service.follow(&next, &call).await;
    leg.begin().await;
    until("the agent is heard again", SOON, async || {
        leg.media().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        service
            .metric("switchboard_resumes_total{result=\"ok\"}")
            .await
            > 0.0
    })
    .await;
    let page = service
        .operator("GET", &format!("/admin/calls/{call}"))
        .await
        .json();
    assert_eq!(
        (&page["restarts"], &page["resumes"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(page["turns"][0]["said"], "Hello.", "{page}");
    let told = service.model.sessions()[1].received_of("conversation.item.create");
    assert!(told[0].to_string().contains("You: Hello."), "{told:?}");
    // A place of an earlier socket that is given back late must not cost the later one its own.
    assert_eq!(service.calls().await["count"], 1);
    leg.stop().await;
    service.empty().await;
    service.stop().await;
}

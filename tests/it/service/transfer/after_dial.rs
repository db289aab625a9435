//! `/after-dial` by itself: whom it believes, and what it answers when something else goes wrong as well.

use crate::service::transfer::switching::{asked, live, order, told, usual};
use test_support::http::{Reply, Request, ring};
use test_support::phone::sid;
use test_support::{SOON, TestService, until};

const PATH: &str = "/after-dial?target=front_desk";

/// The fields Twilio sends when a call to somebody else is over.
fn fields<'a>(call: &'a str, status: &'a str, dialled: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = ring(call, "+15550142");
    fields.retain(|(name, _)| *name != "CallStatus");
    fields.extend([("CallStatus", status), ("DialCallStatus", dialled)]);
    fields
}

async fn ask(service: &TestService, path: &str, fields: &[(&str, &str)]) -> Reply {
    let reply = Request::signed(path, fields).send(service.public).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

/// A call that was sent to the front desk by the operator, its media socket closed.
async fn sent(service: &TestService) -> String {
    let call = sid("CA");
    let mut leg = service.pick_up(&call).await;
    leg.begin().await;
    // Marks do not come back on this line: the call ends with its farewell's time.
    let ordered = async {
        live(service).await;
        let reply = order(service, &call, "transfer", r#"{"to":"front_desk"}"#).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
    };
    let listening = async {
        loop {
            leg.media().await;
            let next = tokio::time::timeout(std::time::Duration::from_millis(20), leg.heard());
            match next.await {
                Ok(None) => return,
                Ok(Some(message)) if message["event"] == "mark" => leg.send(&message).await,
                Ok(Some(_)) | Err(_) => {}
            }
        }
    };
    tokio::join!(ordered, listening);
    service.empty().await;
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_gives_the_same_way_back_and_forgeries_none() {
    let service = usual().await;
    let call = sent(&service).await;
    let busy = fields(&call, "in-progress", "busy");
    let forged = Request::form(PATH, &busy).send(service.public).await;
    assert_eq!((forged.status, forged.text().as_str()), (403, ""));
    // Whoever changes the target or the status needs another signature.
    let signed = Request::signed(PATH, &busy);
    let moved = Request::signed("/after-dial?target=billing", &busy);
    assert_eq!(signed.send(service.public).await.status, 200);
    assert_eq!(
        moved.send(service.public).await.status,
        200,
        "signed as it is"
    );
    let first = ask(&service, PATH, &busy).await;
    let again = ask(&service, PATH, &busy).await;
    assert_eq!(first.text(), again.text());
    // The number's fallback URL may be the webhook itself.
    let mut failed = busy.clone();
    failed.extend([
        ("ErrorCode", "11200"),
        (
            "ErrorUrl",
            "https://spa.example/after-dial?target=front_desk",
        ),
    ]);
    let next = ask(&service, "/incoming-call", &failed).await;
    assert_eq!(first.text(), next.text());
    let mut leg = service.follow(&next, &call).await;
    leg.begin().await;
    until("the model is asked to say why", SOON, async || {
        leg.media().await;
        let session = service.model.session(2);
        session.is_some_and(|session| asked(&session).len() == 1)
    })
    .await;
    leg.stop().await;
    service.empty().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hung_up_while_it_rang_is_not_waited_for() {
    let service = usual().await;
    let call = sent(&service).await;
    let reply = ask(&service, PATH, &fields(&call, "completed", "no-answer")).await;
    assert!(reply.text().contains("<Hangup/>"), "{}", reply.text());
    assert_eq!(service.calls().await["count"], 0);
    // What was said is forgotten: there is nothing to come back to.
    let late = ask(&service, PATH, &fields(&call, "in-progress", "busy")).await;
    let mut leg = service.follow(&late, &call).await;
    leg.begin().await;
    until("the model is told of the transfer", SOON, async || {
        leg.media().await;
        let session = service.model.session(2);
        session.is_some_and(|session| !told(&session).is_empty())
    })
    .await;
    let words = told(&service.model.session(2).unwrap());
    assert_eq!(words.len(), 1, "no conversation: {words:?}");
    assert!(
        words[0].contains("front_desk did not answer (busy)"),
        "{words:?}"
    );
    leg.stop().await;
    service.empty().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_leaves_sends_the_caller_on_with_what_came_of_it() {
    let service = usual().await;
    let call = sent(&service).await;
    assert_eq!(service.operator("POST", "/admin/drain").await.status, 202);
    let reply = ask(&service, PATH, &fields(&call, "in-progress", "busy")).await;
    let jump = "<Pause length=\"1\"/><Redirect method=\"POST\">\
                https://spa.example/after-dial?target=front_desk&amp;status=busy&amp;waited=1</Redirect>";
    assert!(reply.text().contains(jump), "{}", reply.text());
    let mut jumped = ring(&call, "+15550142");
    jumped[2].1 = "in-progress";
    let path = "/after-dial?target=front_desk&status=busy&waited=1";
    let reply = ask(&service, path, &jumped).await;
    let jump = "after-dial?target=front_desk&amp;status=busy&amp;waited=2";
    assert!(reply.text().contains(jump), "{}", reply.text());
    service.stop().await;
}

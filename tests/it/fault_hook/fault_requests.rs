//! What the hook takes for a wish.

use test_support::TestService;
use test_support::faulted_call::operator;
use test_support::phone::sid;

#[tokio::test]
async fn a_stall_has_a_length_between_a_millisecond_and_half_a_minute() {
    let service = TestService::usual().await;
    let path = format!("/admin/calls/{}/fault", sid("CA"));
    let ask = async |path: &str, body: &str| operator(service.admin, "POST", path, body).await;
    for kind in ["stall_step", "stall_actor", "stall_model", "stall_phone"] {
        for ms in [
            "",
            ",\"ms\":0",
            ",\"ms\":30001",
            ",\"ms\":-1",
            ",\"ms\":\"9\"",
        ] {
            let body = format!("{{\"kind\":\"{kind}\"{ms}}}");
            let answer = ask(&path, &body).await;
            assert_eq!(answer.status, 422, "{body}");
            assert_eq!(answer.json()["error"]["code"], "bad_body");
        }
        let nobody = ask(&path, &format!("{{\"kind\":\"{kind}\",\"ms\":30000}}")).await;
        assert_eq!(nobody.status, 404, "{}", nobody.text());
    }
    // A panic has no length, and the process has other parts than a call.
    assert_eq!(
        ask(&path, "{\"kind\":\"panic_in_step\",\"ms\":5}")
            .await
            .status,
        422
    );
    assert_eq!(
        ask(&path, "{\"kind\":\"panic_in_store\"}").await.status,
        422
    );
    assert_eq!(
        ask("/admin/fault", "{\"kind\":\"panic_in_step\"}")
            .await
            .status,
        422
    );
    assert_eq!(
        ask("/admin/fault", "{\"kind\":\"stall_store\"}")
            .await
            .status,
        422
    );
    for at in ["", ",\"at\":\"somewhere\"", ",\"ms\":5"] {
        let body = format!("{{\"kind\":\"stop_tool\"{at}}}");
        assert_eq!(ask(&path, &body).await.status, 422, "{body}");
    }
    let nobody = ask(&path, "{\"kind\":\"stop_tool\",\"at\":\"before_journal\"}").await;
    assert_eq!(nobody.status, 404, "{}", nobody.text());
    // The service of this test keeps its calls in memory.
    let answer = ask("/admin/fault", "{\"kind\":\"stall_store\",\"ms\":5}").await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    service.stop().await;
}

//! HTTP as probes and browsers speak it: HEAD, OPTIONS, and methods that a path does not have; on both listeners.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use switchboard::{admin_routes, public_routes};
use switchboard_kit::twilio::signature::{SIGNATURE_HEADER, sign};

use test_support::http::{Reply, Request, form, ring};
use test_support::phone::sid;
use test_support::{ADMIN_TOKEN, AUTH_TOKEN, PUBLIC, TestService};

/// Methods by path.
type Table = BTreeMap<&'static str, Vec<&'static str>>;

fn table(routes: impl Iterator<Item = (&'static str, &'static str)>) -> Table {
    let mut table = Table::new();
    for (method, path) in routes {
        table.entry(path).or_default().push(method);
    }
    table
}

/// As an operator with the token, which the public listener does not ask for.
async fn ask(to: SocketAddr, method: &str, path: &str) -> Reply {
    // What stands for a call or a ticket is nobody's.
    let path = path.replace('{', "no-").replace('}', "");
    Request::new(method, &path)
        .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .send(to)
        .await
}

#[tokio::test]
async fn head_is_get_without_a_body_and_other_methods_are_told_which_there_are() {
    let service = TestService::usual().await;
    let (mut heads, mut wrong) = (0, 0);
    for (listener, table) in [
        (service.public, table(public_routes())),
        (service.admin, table(admin_routes())),
    ] {
        for (path, methods) in table {
            if methods.contains(&"GET") {
                let get = ask(listener, "GET", path).await;
                let head = ask(listener, "HEAD", path).await;
                assert_eq!(head.status, get.status, "HEAD {path}");
                assert_eq!(head.body, b"", "HEAD {path}");
                let told = |reply: &Reply| reply.headers.get("content-type").cloned();
                assert_eq!(told(&head), told(&get), "HEAD {path}");
                heads += 1;
            }
            for method in [
                "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
            ] {
                if methods.contains(&method) {
                    continue;
                }
                let reply = ask(listener, method, path).await;
                assert_eq!(reply.status, 405, "{method} {path}: {}", reply.text());
                let mut allowed: Vec<&str> = reply.headers["allow"].split(", ").collect();
                allowed.retain(|method| *method != "HEAD");
                assert_eq!(
                    allowed.iter().collect::<std::collections::BTreeSet<_>>(),
                    methods.iter().collect(),
                    "{method} {path}"
                );
                assert_eq!(
                    reply.headers["allow"].contains("HEAD"),
                    methods.contains(&"GET"),
                    "{method} {path}"
                );
                wrong += 1;
            }
        }
    }
    for (listener, code) in [(service.public, None), (service.admin, Some("not_found"))] {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            let reply = ask(listener, method, "/nothing").await;
            assert_eq!(reply.status, 404, "{method}");
            if let (Some(code), false) = (code, method == "HEAD") {
                assert_eq!(reply.json()["error"]["code"], code);
            }
        }
    }
    let refused = ask(service.admin, "DELETE", "/admin/calls").await;
    assert_eq!(refused.json()["error"]["code"], "method_not_allowed");
    // Without the token nothing is told, not even which methods there are.
    for method in ["HEAD", "OPTIONS", "DELETE"] {
        let reply = Request::new(method, "/admin/calls")
            .send(service.admin)
            .await;
        assert_eq!(reply.status, 401, "{method}");
        assert!(!reply.headers.contains_key("allow"), "{method}");
    }
    service.stop().await;
    println!("{heads} HEADs like their GETs, {wrong} wrong methods: 405");
}

#[tokio::test]
async fn a_probe_tells_of_a_drain_and_uses_up_no_ticket() {
    let service = TestService::usual().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            ask(service.public, "HEAD", path).await.status,
            200,
            "{path}"
        );
    }
    // Signed, and still nothing but a question: the call opens its socket afterwards.
    let call = sid("CA");
    let path = service.ticket(&call).await;
    let signature = sign::<&str, &str>(AUTH_TOKEN, &format!("wss://spa.example{path}"), &[]);
    let head = Request::new("HEAD", &path).header(SIGNATURE_HEADER, &signature);
    assert_eq!(head.send(service.public).await.status, 400);
    let leg = service.open(&path).await;
    assert!(leg.is_ok());
    drop(leg);
    service.empty().await;
    // A webhook by query, as Twilio signs a GET.
    let query = format!("/incoming-call?{}", form(&ring(&sid("CA"), "+15550142")));
    let signature = sign::<&str, &str>(AUTH_TOKEN, &format!("{PUBLIC}{query}"), &[]);
    for (signature, status) in [(signature.as_str(), 200), ("forged", 403)] {
        let head = Request::new("HEAD", &query).header(SIGNATURE_HEADER, signature);
        let reply = head.send(service.public).await;
        assert_eq!((reply.status, reply.body.len()), (status, 0));
    }
    assert_eq!(service.operator("POST", "/admin/drain").await.status, 202);
    assert_eq!(ask(service.public, "HEAD", "/readyz").await.status, 503);
    assert_eq!(ask(service.public, "HEAD", "/healthz").await.status, 200);
    service.stop().await;
}

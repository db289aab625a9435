//! Tools do not reach inside: addresses in every dress, names that change their mind, redirects (S7).

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use call_protocol::tool::ToolResult;
use url::Url;

use crate::service::tools::single_tool::{Made, made, on_a_worker, once, resolver};
use test_support::tool_server::{Does, ToolServer};

/// The same tool, kept out of private networks.
fn outside(url: &str) -> Made {
    let mut made = made(url);
    made.http.allow_private = false;
    made
}

#[test]
fn no_way_to_write_an_inside_address_gets_in() {
    on_a_worker(async {
        let server = ToolServer::start([Does::json("{}")]).await;
        let port = server.address.port();
        let mut rows = 0;
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "0.0.0.0",
            "[::]",
            "10.0.0.1",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "[fe80::1]",
            "[fd00::1]",
            "100.64.0.1",
        ] {
            for scheme in ["https", "http"] {
                let Ok(url) = Url::parse(&format!("{scheme}://{host}:{port}/")) else {
                    continue;
                };
                let finished = once(outside(url.as_str())).await;
                assert_eq!(finished.result, ToolResult::Failed, "{url}");
                assert!(
                    finished.output.contains("cannot be reached"),
                    "{url}: {}",
                    finished.output
                );
                rows += 1;
            }
        }
        for url in [
            "file:///etc/passwd",
            "ftp://example.com/",
            "gopher://example.com/",
        ] {
            let finished = once(outside(url)).await;
            assert_eq!(finished.result, ToolResult::Failed, "{url}");
            rows += 1;
        }
        // The metadata service, for a tool that may go inside.
        let finished = once(made("http://169.254.169.254/latest/meta-data")).await;
        assert_eq!(finished.result, ToolResult::Failed);
        assert!(server.asked().is_empty());
        println!("inside addresses: {} rows, 0 requests passed", rows + 1);
    });
}

#[test]
fn a_name_is_resolved_once_and_what_it_gave_is_connected_to() {
    on_a_worker(async {
        let server = ToolServer::start([Does::json("{}")]).await;
        let public: SocketAddr = "93.184.216.34:443".parse().unwrap();
        let url = "https://crm.example/tools/it";

        // An inside address, alone or beside a public one.
        for answer in [
            vec![server.address],
            vec![public, server.address],
            Vec::new(),
        ] {
            let (resolve, asked) = resolver(vec![answer]);
            let finished = once(Made {
                resolve,
                ..outside(url)
            })
            .await;
            assert_eq!(finished.result, ToolResult::Failed);
            assert_eq!(asked.load(Ordering::SeqCst), 1);
        }

        // First this server, then one where nobody listens: the first answer is used, and nobody asks again.
        let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let (resolve, asked) = resolver(vec![vec![server.address], vec![nobody]]);
        let finished = once(Made {
            resolve,
            ..made("http://crm.example/tools/it")
        })
        .await;
        assert_eq!(finished.result, ToolResult::Ok, "{}", finished.output);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(server.asked().len(), 1);
        let host = server.asked()[0].header("host").to_owned();
        assert_eq!(
            host, "crm.example",
            "the name goes along, the address is pinned"
        );
    });
}

#[test]
fn redirects_are_followed_three_times_to_allowed_hosts_and_checked_each_time() {
    on_a_worker(async {
        let there = ToolServer::start([Does::json(r#"{"at":"last"}"#)]).await;
        let moved = |port: u16| Does::redirects(307, &format!("http://crm.example:{port}/next"));

        // Three, and one too many.
        for (count, result) in [(3, ToolResult::Ok), (4, ToolResult::Failed)] {
            let mut does = vec![Does::redirects(308, "/again"); count];
            does.push(Does::json("{}"));
            let server = ToolServer::start(does).await;
            assert_eq!(
                once(made(&server.url())).await.result,
                result,
                "{count} redirects"
            );
            assert!(
                server
                    .asked()
                    .iter()
                    .all(|asked| asked.json()["tool"] == "it")
            );
        }

        // To another host: only where it is allowed, and its address is checked, too.
        for (allowed, inside, result) in [
            (false, true, ToolResult::Failed),
            (true, true, ToolResult::Ok),
            (true, false, ToolResult::Failed),
        ] {
            let here = ToolServer::start([moved(there.address.port())]).await;
            let target = if inside {
                there.address
            } else {
                "169.254.169.254:80".parse().unwrap()
            };
            let (resolve, _) = resolver(vec![vec![target]]);
            let mut tool = Made {
                resolve,
                ..made(&here.url())
            };
            if allowed {
                tool.http.redirect_hosts.push("crm.example".to_owned());
            }
            let finished = once(tool).await;
            assert_eq!(
                finished.result, result,
                "allowed {allowed}: {}",
                finished.output
            );
        }
        assert_eq!(there.asked().len(), 1);
        for target in [
            "file:///etc/passwd",
            "http://127.0.0.1:1/",
            "//169.254.169.254/",
            "http://user:pw@127.0.0.1/",
        ] {
            let here = ToolServer::start([Does::redirects(307, target)]).await;
            assert_eq!(
                once(made(&here.url())).await.result,
                ToolResult::Failed,
                "{target}"
            );
        }
        println!("redirects: 9 rows, one to an allowed host passed");
    });
}

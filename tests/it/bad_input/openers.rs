//! Media sockets without a `start`: so many from one address, so many in all, and the next one is refused with 503.

use std::net::SocketAddr;
use std::process::Command;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use switchboard_kit::twilio::signature::sign;
use test_support::phone::sid;
use test_support::{AUTH_TOKEN, Options, TestService, brief};

/// An address of the public internet, on the loopback device of a network of its own.
const STRANGER: &str = "203.0.113.7";
const ANOTHER: &str = "203.0.113.8";
const OURS: &str = "203.0.113.1";

/// Opens a media socket from an address, if one is named; gives the answer's status.
async fn open(service: &TestService, from: Option<&str>) -> (u16, TcpStream) {
    let path = service.ticket(&sid("CA")).await;
    let signature = sign::<&str, &str>(AUTH_TOKEN, &format!("wss://spa.example{path}"), &[]);
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(from) = from {
        socket
            .bind(SocketAddr::new(from.parse().unwrap(), 0))
            .unwrap();
    }
    let mut stream = socket.connect(service.public).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: spa.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nx-twilio-signature: {signature}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    let status = std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap();
    (status, stream)
}

async fn counted(service: &TestService) -> f64 {
    service
        .metric("switchboard_stream_rejected_total{reason=\"too_many_openers\"}")
        .await
}

#[tokio::test]
async fn five_hundred_sockets_without_a_start_are_all_there_may_be() {
    let options = Options::default()
        .model(brief())
        .with("SWITCHBOARD_MAX_CALLS", "600");
    let service = TestService::start(options).await;
    let mut held = Vec::new();
    // Eight at a time: the first ones are closed for want of a start after five seconds.
    while held.len() < 500 {
        let some = std::iter::repeat_with(|| open(&service, None)).take(8.min(500 - held.len()));
        for (status, stream) in futures_util::future::join_all(some).await {
            assert_eq!(status, 101, "after {}", held.len());
            held.push(stream);
        }
    }
    assert_eq!(open(&service, None).await.0, 503);
    assert_eq!(counted(&service).await, 1.0);
    drop(held);
    service.empty().await;
    assert_eq!(open(&service, None).await.0, 101, "there is room again");
    service.stop().await;
    println!("500 sockets without a start from beside the service: the 501st answered 503");
}

#[tokio::test]
#[ignore = "run by the test below in a network of its own"]
async fn the_stranger() {
    let options = Options::default()
        .model(brief())
        .with("SWITCHBOARD_LISTEN", &format!("{OURS}:0"));
    let service = TestService::start(options).await;
    let mut held = Vec::new();
    for number in 1..=50 {
        let (status, stream) = open(&service, Some(STRANGER)).await;
        assert_eq!(status, 101, "number {number}");
        held.push(stream);
    }
    assert_eq!(open(&service, Some(STRANGER)).await.0, 503);
    let (status, other) = open(&service, Some(ANOTHER)).await;
    assert_eq!(status, 101, "another address has a count of its own");
    held.push(other);
    assert_eq!(counted(&service).await, 1.0);
    drop(held);
    service.empty().await;
    assert_eq!(
        open(&service, Some(STRANGER)).await.0,
        101,
        "there is room again"
    );
    service.stop().await;
    println!(
        "50 sockets without a start from one address: the 51st answered 503, another address let in"
    );
}

#[test]
fn fifty_sockets_without_a_start_are_all_one_address_may_have() {
    let addresses =
        [OURS, STRANGER, ANOTHER].map(|address| format!("ip address add {address}/32 dev lo"));
    let network = format!("ip link set lo up && {}", addresses.join(" && "));
    let tried = Command::new("unshare")
        .args(["-rn", "sh", "-c", &network])
        .output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "no network of its own here"
        );
        println!("not run: this machine lets no test have a network of its own (unshare -rn)");
        return;
    }
    let inner = format!(
        "{network} && exec \"$0\" --exact bad_input::openers::the_stranger --ignored --nocapture"
    );
    let output = Command::new("unshare")
        .args(["-rn", "sh", "-c", &inner])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let figure = told.lines().find(|line| line.contains("answered 503"));
    println!("{}", figure.unwrap());
}

//! Peers that begin a request and never finish it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::phone::sid;
use crate::support::{House, times};

/// Sends this, then a byte a second until the connection is closed; gives the answer's status, 0 for none, and how long
/// the service put up with it.
async fn dribble(to: SocketAddr, opening: &str) -> (u16, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(opening.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let dribble = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if write.write_all(b"a").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = dribble => {}
        _ = read.read_to_end(&mut answer) => {}
        () = tokio::time::sleep(Duration::from_secs(40)) => panic!("still open after 40 s: {opening:?}"),
    }
    let status = String::from_utf8_lossy(&answer)
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.unwrap_or(0), began.elapsed())
}

#[tokio::test]
async fn a_request_that_does_not_come_to_an_end_is_given_up() {
    let house = House::usual().await;
    let head = "POST /incoming-call HTTP/1.1\r\nHost: spa.example\r\n";
    let typed = format!("{head}Content-Type: application/x-www-form-urlencoded\r\n");
    let sized = format!("{typed}Content-Length: 1000\r\n\r\nCallSid=CA");
    let (nothing, half_a_head, half_a_body, admin) = tokio::join!(
        dribble(house.public, ""),
        dribble(house.public, head),
        dribble(house.public, &sized),
        dribble(house.admin, "GET /admin/calls HTTP/1.1\r\nHost: x\r\n"),
    );
    let bar = Duration::from_secs(8);
    for (what, (status, took)) in [
        ("no head", nothing),
        ("half a head", half_a_head),
        ("half a body", half_a_body),
        ("half a head for the operator", admin),
    ] {
        assert!(matches!(status, 408 | 400 | 0), "{what}: {status}");
        times::within(took, bar, what);
    }
    assert_eq!(
        house.ring(&sid("CA")).await.status,
        200,
        "others are served"
    );
    house.stop().await;
    println!(
        "half a head given up after {:.1} s, half a body after {:.1} s, bar 5 s and the last byte",
        half_a_head.1.as_secs_f64(),
        half_a_body.1.as_secs_f64()
    );
}

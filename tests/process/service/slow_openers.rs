//! Peers that begin a request and never finish it, the first of a connection or a later one; and those who read no
//! answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use switchboard_kit::twilio::CallEnd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use test_support::child::{Serving, serve_in};
use test_support::http::Request;
use test_support::phone::sid;
use test_support::{
    ADMIN_TOKEN, MODEL_KEY, SOON, TestService, brief, caller, environment, line_to, listen, times,
    until,
};

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
    let service = TestService::usual().await;
    let head = "POST /incoming-call HTTP/1.1\r\nHost: spa.example\r\n";
    let typed = format!("{head}Content-Type: application/x-www-form-urlencoded\r\n");
    let sized = format!("{typed}Content-Length: 1000\r\n\r\nCallSid=CA");
    let (nothing, half_a_head, half_a_body, admin) = tokio::join!(
        dribble(service.public, ""),
        dribble(service.public, head),
        dribble(service.public, &sized),
        dribble(service.admin, "GET /admin/calls HTTP/1.1\r\nHost: x\r\n"),
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
        service.ring(&sid("CA")).await.status,
        200,
        "others are served"
    );
    service.stop().await;
    println!(
        "half a head given up after {:.1} s, half a body after {:.1} s, bar 5 s and the last byte",
        half_a_head.1.as_secs_f64(),
        half_a_body.1.as_secs_f64()
    );
}

/// A connection on which a request was answered.
async fn answered(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        answer.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    assert!(!head.contains("connection: close"), "{head}");
    stream
}

/// Sends this and nothing more; gives what came until the service closed the connection, and after how long.
async fn left_alone(mut stream: TcpStream, opening: &str) -> (String, Duration) {
    let began = Instant::now();
    stream.write_all(opening.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut answer));
    let closed = closed.await;
    assert!(closed.is_ok(), "still open after 40 s: {opening:?}");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer, began.elapsed())
}

#[tokio::test]
async fn the_next_request_of_a_connection_has_no_more_time_than_the_first() {
    let service = TestService::usual().await;
    let chunked = "POST /incoming-call HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
                   Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    let refused =
        "POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let sized = "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhello";
    let two = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea";
    let mut tried = Vec::new();
    for (whose, to) in [("public", service.public), ("admin", service.admin)] {
        for (what, opening, seconds) in [
            ("one byte", "G", 5),
            ("half a head", "GET /healthz HTTP/1.1\r\nHost:", 5),
            ("one and a half", two, 5),
            ("a refused body in pieces", refused, 0),
            ("a refused body of a size", sized, 0),
            ("nothing", "", 15),
        ] {
            tried.push((whose, what, to, opening, seconds));
        }
    }
    tried.push(("public", "a body in pieces", service.public, chunked, 5));
    let runs = tried.iter().map(|(whose, _, to, opening, _)| async move {
        let stream = if *whose == "public" {
            answered(*to).await
        } else {
            // Nobody is told anything here without the token.
            refused_once(*to).await
        };
        left_alone(stream, opening).await
    });
    let runs = futures_util::future::join_all(runs).await;
    for ((whose, what, .., seconds), (answer, took)) in tried.iter().zip(&runs) {
        println!("{whose} {what}: closed after {:.1} s", took.as_secs_f64());
        // The machine may be busy, but the limits are far apart.
        let most = Duration::from_secs(seconds + 6);
        assert!(*took <= most, "{whose}, {what}: {took:?}");
        if *seconds == 15 {
            assert!(
                *took >= Duration::from_secs(10),
                "{whose}: a proxy keeps it"
            );
            assert_eq!(answer, "", "{whose}");
        }
        let status = match *what {
            "a body in pieces" | "one byte" | "half a head" => "408",
            "one and a half" => continue,
            "nothing" => continue,
            _ if *whose == "admin" => "401",
            _ => "404",
        };
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{whose}, {what}: {answer}"
        );
        let lower = answer.to_ascii_lowercase();
        assert!(
            lower.contains("connection: close"),
            "{whose}, {what}: {answer}"
        );
    }
    service.stop().await;
}

/// A connection of the admin listener on which a request was refused.
async fn refused_once(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        answer.push(byte[0]);
    }
    stream
}

#[tokio::test]
async fn a_body_that_is_read_keeps_the_connection() {
    let service = TestService::usual().await;
    let mut stream = answered(service.public).await;
    for _ in 0..3 {
        let body = "CallSid=CA00000000000000000000000000000001";
        let request = format!(
            "POST /call-status HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        // Refused for want of a signature, which says so and closes.
        assert_eq!(&answer, b"HTTP/1.1 403");
        stream = answered(service.public).await;
    }
    // Pipelined, in one piece, answered in their order on one connection.
    let three = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3);
    stream.write_all(three.as_bytes()).await.unwrap();
    let mut answers = String::new();
    while answers.matches("200 OK").count() < 3 || !answers.ends_with('}') {
        let mut some = [0; 256];
        let count = stream.read(&mut some).await.unwrap();
        assert!(count > 0, "{answers}");
        answers.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
    service.stop().await;
}

#[tokio::test]
async fn answers_that_nobody_reads_are_not_heaped_up() {
    /// What fits into a send buffer of the service, a receive buffer here, and the requests on their way.
    const MOST: usize = 512 * 1024;
    let service = TestService::usual().await;
    for to in [service.public, service.admin] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(8 * 1024).unwrap();
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        let mut stream = socket.connect(to).await.unwrap();
        let many = "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
        let mut sent = 0;
        let began = Instant::now();
        // Until the service takes no more of them, and then gives the connection up.
        let error = loop {
            assert!(
                sent <= MOST,
                "{sent} bytes of requests whose answers nobody reads"
            );
            assert!(began.elapsed() < Duration::from_secs(40), "kept for ever");
            let write = stream.write(many.as_bytes());
            match tokio::time::timeout(Duration::from_secs(1), write).await {
                Ok(Ok(count)) => sent += count,
                Ok(Err(error)) => break error,
                Err(_) => {}
            }
        };
        println!("{sent} bytes of requests were taken before their answers were read ({error})");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_connections_shuts_nobody_else_out() {
    const LIMIT: usize = 256;
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let script = format!("ulimit -n {LIMIT}; exec \"$0\" serve");
    let serving =
        Serving::start_by(serve_in(&["sh"], &script), &environment(&model.url(), &[])).await;
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let mut held = Vec::new();
    let chunked = "POST /incoming-call HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
                   Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    for (what, opening) in [
        ("one byte of the next request", "G"),
        ("half a body", chunked),
        ("nothing", ""),
    ] {
        for to in [serving.public, serving.admin] {
            for number in 0..LIMIT + 50 {
                let mut stream = if to == serving.public {
                    answered(to).await
                } else {
                    refused_once(to).await
                };
                stream.write_all(opening.as_bytes()).await.unwrap();
                held.push(stream);
                if number % 50 == 49 {
                    let health = Request::new("GET", "/healthz").send(serving.public).await;
                    assert_eq!(health.status, 200, "{what}");
                    let calls = Request::new("GET", "/admin/calls")
                        .header("Authorization", &bearer)
                        .send(serving.admin)
                        .await;
                    assert_eq!(calls.status, 200, "{what}");
                }
            }
        }
        let outcome = line_to(serving.public)
            .call(caller([listen(), switchboard_kit::twilio::Step::HangUp]))
            .await;
        assert_eq!(outcome.end, CallEnd::CallerHungUp, "{what}");
        assert!(!outcome.streams[0].agent_speech.is_empty(), "{what}");
        println!(
            "{what} on {} connections, ulimit -n {LIMIT}: health, operator and a call get through",
            2 * (LIMIT + 50)
        );
    }
    assert_eq!(
        serving.count("ccepting connection"),
        0,
        "{:?}",
        serving.lines()
    );
    drop(held);
    until("the operator is answered", SOON, async || {
        let calls = Request::new("GET", "/admin/calls").header("Authorization", &bearer);
        calls.send(serving.admin).await.status == 200
    })
    .await;
    serving.stop().await;
}

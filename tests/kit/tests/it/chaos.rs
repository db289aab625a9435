//! The proxy does to a connection what it says, and nothing else.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use switchboard_kit::chaos::{Chaos, Cut, Weather};
use test_times as times;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A server that sends back whatever it hears.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

async fn through() -> (Chaos, TcpStream) {
    let chaos = Chaos::start(7).await.unwrap();
    chaos.aim(echo().await);
    let stream = TcpStream::connect(chaos.address()).await.unwrap();
    (chaos, stream)
}

/// Sends a byte and waits for it to come back.
async fn round_trip(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    stream.write_all(b"x").await.unwrap();
    let mut back = [0];
    stream.read_exact(&mut back).await.unwrap();
    began.elapsed()
}

#[tokio::test]
async fn fine_weather_changes_nothing() {
    let (chaos, mut stream) = through().await;
    let sent: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let mut back = vec![0; sent.len()];
    let (mut read, mut write) = stream.split();
    let (wrote, got) = tokio::join!(write.write_all(&sent), read.read_exact(&mut back));
    wrote.unwrap();
    got.unwrap();
    assert!(sent == back);
    assert_eq!(chaos.passages()[0].received(), sent.len() as u64);
}

#[tokio::test]
async fn delay_and_jitter_come_on_top_both_ways() {
    let (chaos, mut stream) = through().await;
    round_trip(&mut stream).await;
    let (delay, jitter) = (Duration::from_millis(60), Duration::from_millis(40));
    chaos.weather(Weather {
        delay,
        jitter,
        ..Weather::default()
    });
    for _ in 0..5 {
        let took = round_trip(&mut stream).await;
        assert!(took >= delay * 2, "{took:?}");
        let bar = (delay + jitter) * 2 + Duration::from_millis(200);
        times::within(took, bar, "there and back");
    }
}

#[tokio::test]
async fn a_byte_rate_is_kept() {
    let (chaos, mut stream) = through().await;
    chaos.weather(Weather {
        bytes_per_second: Some(40_000),
        ..Weather::default()
    });
    let began = Instant::now();
    stream.write_all(&[7; 16_000]).await.unwrap();
    let mut back = vec![0; 16_000];
    stream.read_exact(&mut back).await.unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(350), "{took:?}");
}

#[tokio::test]
async fn a_black_hole_says_nothing_to_anybody() {
    let (chaos, mut stream) = through().await;
    round_trip(&mut stream).await;
    chaos.passages()[0].weather(Weather {
        black_hole: true,
        ..Weather::default()
    });
    stream.write_all(b"anybody?").await.unwrap();
    let mut back = [0];
    let heard = timeout(Duration::from_millis(300), stream.read(&mut back)).await;
    assert!(heard.is_err(), "{heard:?}");
    // Others go on.
    let mut other = TcpStream::connect(chaos.address()).await.unwrap();
    round_trip(&mut other).await;
}

#[tokio::test]
async fn each_cut_looks_as_it_should() {
    for cut in [Cut::Close, Cut::HalfClose, Cut::Reset] {
        let (chaos, mut stream) = through().await;
        round_trip(&mut stream).await;
        chaos.passages()[0].cut(cut);
        let mut back = [0];
        let end = timeout(Duration::from_secs(5), stream.read(&mut back))
            .await
            .unwrap();
        match cut {
            Cut::Close | Cut::HalfClose => assert_eq!(end.unwrap(), 0, "{cut:?}"),
            Cut::Reset => assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset),
        }
    }
}

#[tokio::test]
async fn a_cut_can_wait_for_a_number_of_bytes() {
    let (chaos, mut stream) = through().await;
    for _ in 0..3 {
        round_trip(&mut stream).await;
    }
    chaos.passages()[0].cut_after(2, Cut::Reset);
    round_trip(&mut stream).await;
    stream.write_all(b"x").await.unwrap();
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest).await;
    assert!(end.is_err() && rest.len() <= 1, "{end:?} {rest:?}");
    assert_eq!(chaos.passages()[0].received(), 5);
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    times::of_these_tests(module_path!()).await;
}

//! One ticket opens one media socket, however many processes of one data directory meet it at once.

use switchboard_kit::twilio::signature::sign;

use test_support::child::Serving;
use test_support::http::{Request, ring};
use test_support::phone::{Leg, connect_of, path_of, sid};
use test_support::process_fixture::{Folder, metrics};
use test_support::{AUTH_TOKEN, MODEL_KEY, brief};

const TICKETS: usize = 12;

/// Sockets that are opened with one ticket at each of the two processes.
const EACH: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_opens_one_socket_over_two_processes_of_one_data_directory() {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let variables = folder.variables(&model.url(), &[]);
    let (one, other) = (
        Serving::start(&variables).await,
        Serving::start(&variables).await,
    );
    let mut opened = [0; 2];
    let mut held = Vec::new();
    for number in 0..TICKETS {
        let call = sid("CA");
        let reply = Request::signed("/incoming-call", &ring(&call, "+15550142"))
            .send(one.public)
            .await;
        let path = path_of(&connect_of(&reply).stream.url);
        let signature = sign::<&str, &str>(AUTH_TOKEN, &format!("wss://spa.example{path}"), &[]);
        let mut tries = Vec::new();
        for _ in 0..EACH {
            // In turns, so that each of them is the first now and then.
            let order = if number % 2 == 0 { [0, 1] } else { [1, 0] };
            for process in order {
                let to = [one.public, other.public][process];
                let (path, signature) = (path.clone(), signature.clone());
                tries.push(async move { (process, Leg::open(to, &path, &[&signature]).await) });
            }
        }
        let mut of_ticket = 0;
        for (process, leg) in futures_util::future::join_all(tries).await {
            match leg {
                Ok(leg) => {
                    of_ticket += 1;
                    opened[process] += 1;
                    held.push(leg);
                }
                Err(status) => assert_eq!(status, 403),
            }
        }
        assert_eq!(of_ticket, 1, "ticket {number}");
    }
    let mut refused = 0.0;
    for serving in [&one, &other] {
        refused += metrics(serving)
            .await
            .sum("switchboard_stream_rejected_total");
    }
    assert_eq!(
        refused,
        (TICKETS * (2 * EACH - 1)) as f64,
        "each is counted"
    );
    println!(
        "{TICKETS} tickets tried {} times each at two processes: {opened:?} sockets",
        2 * EACH
    );
    drop(held);
    one.stop().await;
    other.stop().await;
}

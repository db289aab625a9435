//! L4 and F3: more calls than fit, and more than the model's account takes.

use std::time::{Duration, Instant};

use switchboard_kit::realtime::Fault;
use switchboard_kit::twilio::{CallEnd, Step};

use test_support::http::{Reply, Request};
use test_support::phone::sid;
use test_support::{Options, SOON, TestService, brief, caller, listen, say, times, until};

fn slowest<'a>(replies: impl Iterator<Item = &'a Reply>) -> Duration {
    replies.map(|reply| reply.took).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l4_of_a_hundred_and_fifty_calls_at_once_exactly_a_hundred_are_taken() {
    let options = Options::default().with("SWITCHBOARD_MAX_CALLS", "100");
    let service = TestService::start(options).await;
    let calls: Vec<String> = (0..150).map(|_| sid("CA")).collect();
    let replies = futures_util::future::join_all(calls.iter().map(|call| service.ring(call))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = replies
        .iter()
        .partition(|reply| reply.text().contains("<Connect"));
    assert_eq!((taken.len(), refused.len()), (100, 50));
    for reply in &refused {
        let text = reply.text();
        assert!(
            text.contains("We have a technical problem.") && text.contains("+15550199"),
            "{text}"
        );
    }
    let full = "switchboard_admission_rejected_total{reason=\"full\"}";
    assert_eq!(service.metric(full).await, 50.0);
    // Alone, without the burst's own queue: the time it takes to be refused.
    let alone = service.ring(&sid("CA")).await;
    assert!(!alone.text().contains("<Connect"));
    times::within(alone.took, Duration::from_millis(100), "alone took");
    let burst = slowest(refused.iter().copied());
    // The control group: as many at once for an answer that costs nothing.
    let ask = || Request::new("GET", "/healthz").send(service.public);
    let healthy = futures_util::future::join_all((0..150).map(|_| ask())).await;
    let control = slowest(healthy.iter());
    let bar = Duration::from_millis(100).max(control * 3);
    times::within(burst, bar, ("/healthz", control));
    assert_eq!(service.model.sessions().len(), 0, "nobody was dialled for");
    service.stop().await;
    println!(
        "L4 150 calls at once against 100: 100 taken, 50 refused; a refusal takes {:?} (bar 100 ms), the slowest of the \
         burst {burst:?} (of 150 GET /healthz at once, for control: {control:?})",
        alone.took
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_takes_as_many_calls_as_it_may_and_the_others_go_on() {
    let agent = |name: &str, more: &str| {
        format!("[agents.{name}]\ninstructions = \"You answer.\"\n{more}\n")
    };
    let toml = format!(
        "default_agent = \"spa\"\n{}{}[fallback]\nsay = \"We have a technical problem.\"\ndial = \"+15550199\"\n",
        agent("spa", "max_calls = 3\nlanguage = \"de\""),
        agent("night", "")
    );
    let options = Options {
        toml,
        ..Options::default()
    };
    let service = TestService::start(options).await;
    let calls: Vec<String> = (0..10).map(|_| sid("CA")).collect();
    let replies = futures_util::future::join_all(calls.iter().map(|call| service.ring(call))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = replies
        .iter()
        .partition(|reply| reply.text().contains("<Connect"));
    assert_eq!((taken.len(), refused.len()), (3, 7));
    for reply in &refused {
        // In the agent's language.
        let words = "<Say language=\"de-DE\">We have a technical problem.</Say>";
        let text = reply.text();
        assert!(text.contains(words) && text.contains("+15550199"), "{text}");
    }
    let counter = "switchboard_admission_rejected_total{reason=\"agent_full\"}";
    assert_eq!(service.metric(counter).await, 7.0);
    // The same webhook again is the same call, and the other agent has room.
    let first = calls
        .iter()
        .zip(&replies)
        .find(|(_, reply)| reply.text().contains("<Connect"));
    let again = service.ring(first.unwrap().0).await;
    assert!(again.text().contains("<Connect"));
    let (other, path) = (sid("CA"), "/incoming-call?agent=night");
    let fields = test_support::http::ring(&other, "+15550142");
    let reply = Request::signed(path, &fields).send(service.public).await;
    assert!(reply.text().contains("<Connect"), "{}", reply.text());
    // One that ends makes room for one.
    let mut leg = service.pick_up(first.unwrap().0).await;
    leg.begin().await;
    leg.stop().await;
    until("the call is over", SOON, async || {
        service.calls().await["count"] == 0
    })
    .await;
    assert!(service.ring(&sid("CA")).await.text().contains("<Connect"));
    assert!(!service.ring(&sid("CA")).await.text().contains("<Connect"));
    service.stop().await;
    println!(
        "10 calls at once for an agent that takes 3: 3 taken, 7 to its fallback, the other agent untouched"
    );
}

/// The account's tokens, as `rate_limits.updated` told them on a live call, open and close admission for new ones.
#[tokio::test]
async fn f3_an_account_near_its_limit_shuts_the_door_before_a_caller_meets_silence() {
    let service = TestService::start(Options::default().model(brief())).await;
    let line = service.line();
    let steps = [
        listen(),
        say("yes"),
        listen(),
        Step::Wait { ms: 3_500 },
        say("thanks"),
        listen(),
        Step::HangUp,
    ];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    // Else the greeting may tell of scarce tokens, too, and the answer to "yes" closes admission again while it is closed.
    until("the greeting is over", SOON, async || {
        service.calls().await["calls"][0]["turns"] == 1
    })
    .await;
    let is_ready = async || {
        let reply = Request::new("GET", "/readyz").send(service.public).await;
        (reply.status, reply.text())
    };
    assert!(service.ring(&sid("CA")).await.text().contains("<Connect"));
    service.model.faults().live(Fault::ScarceTokens {
        left_percent: 1,
        reset_seconds: 3,
    });
    until("admission is closed", SOON, async || {
        is_ready().await.0 == 503
    })
    .await;
    let shut = Instant::now();
    let (_, reasons) = is_ready().await;
    assert!(reasons.contains("\"model_rate_limited\""), "{reasons}");
    let refused = service.ring(&sid("CA")).await;
    assert!(!refused.text().contains("<Connect"), "{}", refused.text());
    assert!(refused.text().contains("+15550199"));
    let counter = "switchboard_admission_rejected_total{reason=\"model_rate_limited\"}";
    assert_eq!(service.metric(counter).await, 1.0);
    until("admission is open again", SOON, async || {
        is_ready().await.0 == 200
    })
    .await;
    let lasted = shut.elapsed();
    assert!(lasted >= Duration::from_millis(2_500), "{lasted:?}");
    times::within(lasted, Duration::from_millis(3_500), "lasted");
    assert!(service.ring(&sid("CA")).await.text().contains("<Connect"));
    // With five in a hundred left they come one a second.
    service.model.faults().live(Fault::ScarceTokens {
        left_percent: 5,
        reset_seconds: 10,
    });
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp, "the live call goes on");
    assert_eq!(outcome.streams[0].agent_speech.len(), 3);
    let (mut let_in, began) = (0_u64, Instant::now());
    while began.elapsed() < Duration::from_millis(2_900) {
        let_in += u64::from(service.ring(&sid("CA")).await.text().contains("<Connect"));
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    // One a second of however long it took.
    let seconds = began.elapsed().as_secs() + 1;
    assert!((2..=seconds + 1).contains(&let_in), "{let_in}");
    service.stop().await;
    println!(
        "F3 rate_limits.updated over the socket: 1 % left for 3 s closes admission for {} ms, live call undisturbed; 5 % left: \
         {let_in} new calls in 2.9 s (1 a second)",
        lasted.as_millis()
    );
}

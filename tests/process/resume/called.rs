//! A process that dies while a person is called for a caller who stays: another one goes on with both, and calls nobody
//! twice.

use switchboard_kit::twilio::{CallEnd, PersonDoes, RestApi, Scripted, Step};

use test_support::child::Serving;
use test_support::process_fixture::{Folder, metrics};
use test_support::{ACCOUNT, AGENT, AUTH_TOKEN, MODEL_KEY, SOON, brief, line_to, listen, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_person_who_rings_when_the_process_dies_takes_the_caller_from_the_next_one() {
    let folder = Folder::new();
    let file = folder.0.join("switchboard.toml");
    let keys = "keys = { \"0\" = \"front_desk\" }\n[fallback]";
    let transfer = "[transfer]\nmode = \"warm\"\n[transfer.targets]\nfront_desk = \"+15550188\"\n";
    let toml = format!("{}{transfer}", AGENT.replacen("[fallback]", keys, 1));
    std::fs::write(&file, toml).unwrap();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let rest = RestApi::start(ACCOUNT, ACCOUNT, AUTH_TOKEN).await.unwrap();
    let config = [
        ("SWITCHBOARD_CONFIG", file.display().to_string()),
        ("TWILIO_ACCOUNT_SID", ACCOUNT.to_owned()),
        ("TWILIO_API_URL", rest.url()),
    ];
    let variables = folder.variables(&model.url(), &config);
    let mut first = Serving::start(&variables).await;
    let second = Serving::start(&variables).await;
    let line = line_to(first.public);
    let route = line.route.clone().unwrap();
    let rooms = line.rooms.clone();
    rest.serve(line.clone());
    rest.person(PersonDoes::Answers {
        ring_ms: 6_000,
        key: Some('1'),
        waits_ms: 20_000,
        talk_ms: 400,
    });
    let steps = [
        listen(),
        Step::Keys("0".to_owned()),
        Step::Wait { ms: 60_000 },
    ];
    let call = tokio::spawn(async move { line.call(Scripted::new(steps, 40_000)).await });
    until("the front desk is called", SOON, async || {
        first.event("person called").is_some()
    })
    .await;
    route.set_targets(vec![second.public]);
    first.signal("KILL");
    first.ended(SOON).await;
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::HungUp, "{:?}", outcome.documents);
    assert_eq!(outcome.streams.len(), 2, "gone on with");
    let resumed = metrics(&second).await;
    assert_eq!(resumed.get("switchboard_resumes_total{result=\"ok\"}"), 1.0);
    // One person, called once, in one conversation with the caller.
    let placed = rest.requests();
    let placed = placed.iter().filter(|request| request.places_a_call());
    assert_eq!(placed.count(), 1);
    let people = rest.people().await;
    let meetings = rooms.meetings();
    assert_eq!(meetings.len(), 1);
    let both = vec![people[0].call_sid.clone(), outcome.call_sid.clone()];
    assert_eq!(meetings[0].calls, both);
}

//! Echoes on both legs' own socket paths, for the Autobahn test suite.
//!
//! ```sh
//! pip2.7 install autobahntestsuite==25.10.1   # or its container, crossbario/autobahn-testsuite
//! cargo run -p switchboard-actors --features echo --example echo -- serve 127.0.0.1:9001      # the phone leg
//! wstest -m fuzzingclient -s client.json
//! wstest -m fuzzingserver -s server.json
//! cargo run -p switchboard-actors --features echo --example echo -- dial ws://127.0.0.1:9002  # the model leg
//! ```
//!
//! with `{"servers":[{"url":"ws://127.0.0.1:9001"}],"outdir":"phone",…}` as `client.json` and
//! `{"url":"ws://127.0.0.1:9002","outdir":"model",…}` as `server.json`, both with `"cases":["*"]` and
//! `"exclude-cases":["1.2.*","9.*","12.*","13.*"]`: a binary message is closed with 1003, since neither peer sends one; no
//! message beyond 64 KiB is taken from a phone; and no compression is spoken.
//!
//! On 2026-11-29, 239 cases on either side: 0 failed, 234 ok, 3 informational, 2 not strict (6.4.3 and 6.4.4: UTF-8 is judged
//! frame by frame, not byte by byte within one). Behind the close handshake the suite ends most connections to the phone
//! leg itself, as this example does not; a call's socket is ended 150 ms after its close frame (`tests/release/hostile_frames.rs`).

use std::error::Error;
use std::io;

use actix_web::{App, HttpServer, web};
use switchboard_actors::{openai, twilio};

const USAGE: &str = "usage: echo serve LISTEN | echo dial URL";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(command), Some(target), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(USAGE.into());
    };
    let system = actix::System::new();
    match command.as_str() {
        "serve" => Ok(system.block_on(serve(target))?),
        "dial" => system.block_on(dial(&target)),
        _ => Err(USAGE.into()),
    }
}

async fn serve(listen: String) -> io::Result<()> {
    HttpServer::new(|| {
        App::new().default_service(
            web::get().to(async |request, stream| twilio::echo::accept(&request, stream)),
        )
    })
    .workers(1)
    .bind(listen)?
    .run()
    .await
}

/// Goes through all cases of a fuzzing server.
async fn dial(url: &str) -> Result<(), Box<dyn Error>> {
    let count = openai::echo::dial(&format!("{url}/getCaseCount")).await?;
    let count: u32 = count
        .ok_or("the server does not count its cases")?
        .parse()?;
    for case in 1..=count {
        openai::echo::dial(&format!("{url}/runCase?case={case}&agent=switchboard")).await?;
    }
    openai::echo::dial(&format!("{url}/updateReports?agent=switchboard")).await?;
    Ok(())
}

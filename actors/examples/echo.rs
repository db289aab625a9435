//! An echo on the phone leg's own socket path, for the Autobahn test suite.
//!
//! ```sh
//! cargo run -p switchboard-actors --features echo --example echo -- 127.0.0.1:9001
//! # in another terminal, with the suite's fuzzing client (`docker run --network host crossbario/autobahn-testsuite`, or
//! # with Python 2.7: `python2.7 -m pip install autobahntestsuite`):
//! wstest -m fuzzingclient -s spec.json
//! ```
//!
//! with `{"servers":[{"url":"ws://127.0.0.1:9001"}],"cases":["*"],"exclude-cases":["9.*","12.*","13.*"]}` as `spec.json`:
//! no message beyond 64 KiB is taken and no compression is spoken.
//!
//! Suite 25.10.1 on 2026-11-27 (0.8.2 on 2026-11-22 gave the same), 247 cases: 232 ok, 3 informational, 4 not strict
//! (6.4.1 to 6.4.4: UTF-8 is judged once the message is whole, not at its first wrong byte), 8 failed as meant (1.2.1 to
//! 1.2.8: a binary message is closed with 1003, since Twilio sends text only). Behind the close handshake the suite ends
//! most connections itself, as this example does not; a call's socket is ended 150 ms after its close frame
//! (`tests/release/hostile_frames.rs`).

use std::error::Error;
use std::io;

use actix_web::{App, HttpServer, web};
use switchboard_actors::twilio::echo;

fn main() -> Result<(), Box<dyn Error>> {
    let listen = std::env::args().nth(1).ok_or("usage: echo LISTEN")?;
    let served: io::Result<()> = actix::System::new().block_on(async {
        HttpServer::new(|| {
            App::new().default_service(
                web::get().to(async |request, stream| echo::accept(&request, stream)),
            )
        })
        .workers(1)
        .bind(listen)?
        .run()
        .await
    });
    Ok(served?)
}

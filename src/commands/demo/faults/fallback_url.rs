//! What stands behind the number's fallback URL: a document that is there while no process serves, as a TwiML Bin at
//! Twilio itself would be. Without it Twilio ends a call whose `action` request fails (error 11200,
//! <https://www.twilio.com/docs/api/errors/11200>).

use std::net::{SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};

/// The caller waits a second, then Twilio asks again.
fn document(public: &str) -> String {
    format!(
        "<Response><Pause length=\"1\"/><Redirect method=\"POST\">{public}/after-stream</Redirect></Response>"
    )
}

pub(super) struct FallbackUrl {
    pub(super) address: SocketAddr,
    server: ServerHandle,
}

impl FallbackUrl {
    /// Serves the document on a free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn start(public: &'static str) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let answer = move || async move {
            HttpResponse::Ok()
                .content_type("text/xml")
                .body(document(public))
        };
        let server = HttpServer::new(move || App::new().default_service(web::to(answer)))
            .workers(1)
            .disable_signals()
            .listen(listener)?
            .run();
        let handle = server.handle();
        actix::spawn(server);
        Ok(Self {
            address,
            server: handle,
        })
    }

    pub(super) async fn stop(self) {
        self.server.stop(false).await;
    }
}

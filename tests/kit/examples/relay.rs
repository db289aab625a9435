//! A bare relay between Twilio's media stream and a realtime server: the control group of a load test.
//!
//! It renames the JSON of each frame, sends a mark behind each piece of the model's audio as whoever wants to know what
//! the caller heard must, and does nothing else: no checks, no ledger, no supervision. What a service costs beyond it is
//! the price of what the service does; measured in the same minute, the ratio holds on noisy machines too.
//!
//! ```sh
//! switchboard emulate-model --listen 127.0.0.1:9000
//! cargo run --release -p switchboard-kit --example relay -- 127.0.0.1:5050 127.0.0.1:9000
//! switchboard load --to http://127.0.0.1:5050 --calls 200 --seconds 30
//! ```

use std::cell::RefCell;
use std::error::Error;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, http::HeaderValue};

/// The least a session needs to speak the telephone's codec.
const SESSION: &str = r#"{"type":"session.update","session":{"type":"realtime","audio":{"input":{"format":{"type":"audio/pcmu"}},"output":{"format":{"type":"audio/pcmu"}}}}}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(model)) = (arguments.next(), arguments.next()) else {
        return Err("usage: relay LISTEN MODEL".into());
    };
    let listener = TcpListener::bind(&listen).await?;
    let calls = tokio::task::LocalSet::new();
    calls
        .run_until(async move {
            loop {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                let (listen, model) = (listen.clone(), model.clone());
                tokio::task::spawn_local(async move {
                    // A call that breaks is the load generator's to count.
                    let _ = serve(socket, &listen, &model).await;
                });
            }
        })
        .await
}

async fn serve(mut socket: TcpStream, listen: &str, model: &str) -> Result<(), Box<dyn Error>> {
    let mut verb = [0; 4];
    socket.peek(&mut verb).await?;
    if &verb == b"POST" {
        return answer(&mut socket, listen).await;
    }
    let phone = tokio_tungstenite::accept_async_with_config(socket, Some(buffers())).await?;
    let upstream = TcpStream::connect(model).await?;
    upstream.set_nodelay(true)?;
    let url = format!("ws://{model}/v1/realtime?model=gpt-realtime-2.1");
    let mut request = url.into_client_request()?;
    let key = HeaderValue::from_static("Bearer control");
    request.headers_mut().insert("Authorization", key);
    let (upstream, _) =
        tokio_tungstenite::client_async_with_config(request, upstream, Some(buffers())).await?;
    let (mut to_phone, mut from_phone) = phone.split();
    let (mut to_model, mut from_model) = upstream.split();
    to_model.send(Message::text(SESSION)).await?;

    let stream = RefCell::new(String::new());
    let up = async {
        while let Some(Ok(message)) = from_phone.next().await {
            let Message::Text(text) = message else {
                continue;
            };
            if let Some(payload) = between(&text, "\"payload\":\"") {
                let append =
                    format!(r#"{{"type":"input_audio_buffer.append","audio":"{payload}"}}"#);
                if to_model.send(Message::text(append)).await.is_err() {
                    break;
                }
            } else if text.contains(r#""event":"stop""#) {
                break;
            } else if let Some(sid) = between(&text, "\"streamSid\":\"") {
                stream.replace(sid.to_owned());
            }
        }
        let _ = to_model.close().await;
    };
    let mut marks = 0_u64;
    let down = async {
        while let Some(Ok(message)) = from_model.next().await {
            let Message::Text(text) = message else {
                continue;
            };
            let Some(payload) =
                between(&text, "\"delta\":\"").filter(|_| text.contains("output_audio.delta"))
            else {
                continue;
            };
            let sid = stream.borrow().clone();
            let media = format!(
                r#"{{"event":"media","streamSid":"{sid}","media":{{"payload":"{payload}"}}}}"#
            );
            let mark =
                format!(r#"{{"event":"mark","streamSid":"{sid}","mark":{{"name":"{marks}"}}}}"#);
            marks += 1;
            // One write for both.
            let fed = to_phone.feed(Message::text(media)).await;
            if fed.is_err() || to_phone.send(Message::text(mark)).await.is_err() {
                break;
            }
        }
        let _ = to_phone.close().await;
    };
    tokio::join!(up, down);
    Ok(())
}

async fn answer(socket: &mut TcpStream, listen: &str) -> Result<(), Box<dyn Error>> {
    let mut request = vec![0; 8_192];
    let _ = socket.read(&mut request).await?;
    let twiml = format!(
        r#"<Response><Connect><Stream url="ws://{listen}/media-stream"/></Connect></Response>"#
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        twiml.len()
    );
    socket
        .write_all(format!("{head}{twiml}").as_bytes())
        .await?;
    Ok(())
}

/// Small buffers, as a careful relay would have them; each send flushes.
fn buffers() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(4 * 1024)
}

/// The text between `key` and the next quote.
fn between<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let start = text.find(key)? + key.len();
    let length = text[start..].find('"')?;
    Some(&text[start..start + length])
}

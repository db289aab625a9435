//! Status callbacks: sent beside the call, never holding it up.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::line::{Delivery, Line};
use super::outcome::CallbackRecord;
use super::webhook::{self, Method, Params};

#[derive(Debug)]
struct Callback {
    method: Method,
    url: String,
    params: Params,
}

/// The outbox of one call; a task of its own posts what is put in.
#[derive(Debug)]
pub(crate) struct Callbacks {
    outbox: mpsc::UnboundedSender<Callback>,
    worker: JoinHandle<Vec<CallbackRecord>>,
}

impl Callbacks {
    pub(crate) fn open(line: &Line, began: Instant) -> Self {
        let (outbox, inbox) = mpsc::unbounded_channel();
        let worker = tokio::spawn(deliver(line.clone(), began, inbox));
        Self { outbox, worker }
    }

    pub(crate) fn send(&self, method: Method, url: &str, params: Params) {
        // The worker lives as long as the outbox.
        let _ = self.outbox.send(Callback {
            method,
            url: url.to_owned(),
            params,
        });
    }

    /// Waits until everything is delivered.
    pub(crate) async fn close(self) -> Vec<CallbackRecord> {
        drop(self.outbox);
        self.worker.await.unwrap_or_default()
    }
}

async fn deliver(
    line: Line,
    began: Instant,
    mut inbox: mpsc::UnboundedReceiver<Callback>,
) -> Vec<CallbackRecord> {
    let mut records = Vec::new();
    let mut held_back = Vec::new();
    while let Some(callback) = inbox.recv().await {
        let token = line.sids.idempotency_token();
        match line.delivery {
            Delivery::InOrder => records.push(post(&line, began, &callback, &token).await),
            Delivery::Twice => {
                records.push(post(&line, began, &callback, &token).await);
                records.push(post(&line, began, &callback, &token).await);
            }
            Delivery::Reversed => held_back.push((callback, token)),
        }
    }
    for (callback, token) in held_back.iter().rev() {
        records.push(post(&line, began, callback, token).await);
    }
    records
}

async fn post(line: &Line, began: Instant, callback: &Callback, token: &str) -> CallbackRecord {
    let answer = webhook::request(
        line,
        callback.method,
        &callback.url,
        &callback.params,
        token,
    )
    .await;
    CallbackRecord {
        at_ms: began.elapsed().as_millis() as u64,
        url: callback.url.clone(),
        params: callback.params.clone(),
        answer: answer
            .map(|reply| reply.status)
            .map_err(|error| error.to_string()),
    }
}

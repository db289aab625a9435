//! `/stream-status` and `/call-status`: what Twilio tells of streams and calls.

use actix_web::{HttpRequest, HttpResponse, web};
use call_protocol::call::event::OperatorEvent;
use switchboard_actors::messages::{Find, Order};

use super::webhook::Webhook;
use crate::house::House;

pub(crate) async fn stream_status(
    house: web::Data<House>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    let webhook = match Webhook::read(&house, &request, body).await {
        Ok(webhook) => webhook,
        Err(answer) => return answer,
    };
    let event = webhook.form.get("StreamEvent").unwrap_or_default();
    if event == "stream-error" {
        let error = webhook.form.get("StreamError").unwrap_or_default();
        house.metrics.protocol_violated("twilio", "stream_error");
        log::warn!(target: "switchboard::phone", call_sid = webhook.call.as_str(), error; "twilio reports a stream error");
    }
    HttpResponse::NoContent().finish()
}

pub(crate) async fn call_status(
    house: web::Data<House>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    let webhook = match Webhook::read(&house, &request, body).await {
        Ok(webhook) => webhook,
        Err(answer) => return answer,
    };
    let status = webhook.form.get("CallStatus").unwrap_or_default();
    if matches!(
        status,
        "completed" | "busy" | "failed" | "no-answer" | "canceled"
    ) {
        // The call is over at Twilio; a media socket that outlived it only costs money.
        if let Some(found) = house.ask(Find(webhook.call)).await.flatten() {
            found.orders.do_send(Order(OperatorEvent::HangUp));
        }
    }
    HttpResponse::NoContent().finish()
}

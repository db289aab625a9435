//! Any message from a realtime server is read or refused; what is kept of it is bounded.
use bytes::{Bytes, BytesMut};
use call_protocol::ids::Interner;
use call_protocol::model::event::{ItemKind, ModelEvent};
use call_protocol::model::openai;

/// What the target does with an input.
pub(crate) fn run(message: &[u8]) {
    let mut ids = Interner::default();
    match openai::read(&Bytes::copy_from_slice(message), &mut ids) {
        Ok(ModelEvent::Audio { payload, item, .. }) => {
            let mut opened = BytesMut::new();
            payload.decode_into(&mut opened);
            assert_eq!(opened.len(), payload.audio_bytes());
            assert!(item.as_str().len() <= 128);
        }
        Ok(ModelEvent::ItemDone { item, .. }) => {
            if let ItemKind::ToolCall {
                arguments, name, ..
            } = item.kind
            {
                assert!(arguments.len() <= 64 * 1024 && name.len() <= 128);
            }
        }
        Ok(ModelEvent::RateLimits(limits)) => assert!(limits.len() <= 8),
        Ok(_) | Err(_) => {}
    }
}

//! What happens to a call between its webhooks and its sockets: let in, gone on with, ended. The only ones here to ask
//! the registry and the store.

pub(crate) mod conclude;
pub(crate) mod limit;
pub(crate) mod resume;

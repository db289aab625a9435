//! What Twilio calls: signatures, form bodies, media tickets and the TwiML answers.

pub mod form;
pub mod signature;
pub mod ticket;
pub mod twiml;

//! Callers who are sent to a person, and back when nobody takes them; and what an operator has a live call do.

mod after_dial;
mod orders;
mod rest;
mod sent;
mod switching;
mod warm;

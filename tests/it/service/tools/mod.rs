//! Tools: over HTTP and in this process, in a call and by themselves, each effect once.
//!
//! Each test prints its figure last.

mod at_once;
mod book;
mod conversation;
mod exactly_once;
mod journal;
mod own;
mod reach;
mod replies;
mod served;
mod single_tool;

//! Tools: over HTTP and in this process, in a call and by themselves, each effect once.
//!
//! Each test prints its figure last.

mod at_once;
mod book;
mod box_of_one;
mod conversation;
mod exactly_once;
mod journal;
mod own;
mod reach;
mod replies;
mod served;

//! What is shipped around the binary, read as a machine reads it: image, compose file, proxy, health check, CI, guides.

mod arrows;
mod ci;
mod compose;
mod dockerfile;
mod guides;
mod handlers;
mod image;
mod probe;
mod support;

//! The commands, one file each.

pub mod book;
pub mod call;
pub mod check;
pub mod demo;
pub mod emulate_model;
mod line;
pub mod load;
mod progress;
pub mod serve;

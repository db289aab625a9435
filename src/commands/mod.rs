//! The commands, one file each; those that emulate either end of the line come with the feature `lab`.

pub mod book;
#[cfg(feature = "lab")]
pub mod call;
pub mod check;
#[cfg(feature = "lab")]
pub mod demo;
#[cfg(feature = "lab")]
pub mod emulate_model;
#[cfg(feature = "lab")]
mod line;
#[cfg(feature = "lab")]
pub mod load;
#[cfg(feature = "lab")]
mod progress;
pub mod serve;

/// Runs a command of the feature `lab`.
#[cfg(feature = "lab")]
#[must_use]
pub fn lab(command: &crate::cli::Lab) -> crate::cli::Exit {
    use crate::cli::Lab;
    match command {
        Lab::Demo(demo) => demo::run(demo),
        Lab::Call(call) => call::run(call),
        Lab::Load(load) => load::run(load),
        Lab::EmulateModel(model) => emulate_model::run(model),
    }
}

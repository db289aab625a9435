//! The appointment book as people at the desk meet it; what it is by itself is tested in its own package.

mod desk;
mod files;
mod settings;
mod support;

//! A call with a simulated phone, a simulated model and virtual time, for tests of the machine from outside.
// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub(crate) mod events;
pub(crate) mod phone;
pub(crate) mod rig;
pub(crate) mod short;

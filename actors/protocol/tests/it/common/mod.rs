//! A call with a simulated phone, a simulated model and virtual time, for tests of the machine from outside.

pub(crate) mod events;
pub(crate) mod phone;
pub(crate) mod rig;
pub(crate) mod short;

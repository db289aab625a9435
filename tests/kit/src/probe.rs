//! Probe frames: caller audio that the load generator recognises when it comes back.

/// What a probe frame begins with. The emulated Realtime server sends such audio straight back.
pub const PROBE_MAGIC: &[u8; 8] = b"SWBPROBE";

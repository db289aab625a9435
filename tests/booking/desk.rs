//! What people at the desk do.

//! Protocols as bytes and frames, without I/O.

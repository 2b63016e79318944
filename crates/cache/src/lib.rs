//! The cache's read path: get, single flight, fill.

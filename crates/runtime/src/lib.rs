//! Clock and spawn on tokio.

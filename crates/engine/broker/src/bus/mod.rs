//! The bus inside one process. It stands beside the queues and shares nothing with them: notices are not kept on the disk,
//! because every listener lives in the process that would lose them.
//!
//! - `ring`: the newest notices with their positions, within bounds
//! - [`embedded`]: the port over it, and who waits

pub mod embedded;
mod ring;

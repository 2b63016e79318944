//! The contract of `LocalStore`, kept by the embedded store.

use std::sync::Arc;

use forebay_core::entry::Version;
use forebay_core::limits::VALUE_BYTES_MAX_DEFAULT;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};

fn memory(bytes_max: usize) -> Arc<dyn LocalStore> {
    let first_version = Version::first(Instant::from_ms(1_700_000_000_000));
    Arc::new(Memory::new(MemoryOptions {
        bytes_max,
        value_bytes_max: VALUE_BYTES_MAX_DEFAULT,
        first_version,
    }))
}

forebay_contract::store!(memory);

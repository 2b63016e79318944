//! Access traces: recorded ones, and one by Zipf's law.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};

/// The demo's, from this package's folder.
pub const DEMO: &str = "../crates/lab/traces/web07.trace.xz";

/// Reads a trace of big-endian 32-bit keys, compressed if its name ends in `.xz`.
pub fn load(path: &str) -> Result<Vec<u32>, Box<dyn Error>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    if path.ends_with(".xz") {
        lzma_rust2::XzReader::new(file, true).read_to_end(&mut bytes)?;
    } else {
        BufReader::new(file).read_to_end(&mut bytes)?;
    }
    Ok(bytes.chunks_exact(4).map(|key| u32::from_be_bytes([key[0], key[1], key[2], key[3]])).collect())
}

/// Accesses to as many keys, the n-th of them asked for in proportion to one over n to the `skew`.
pub fn zipf(keys: usize, skew: f64, accesses: usize) -> Vec<u32> {
    let mut sums: Vec<f64> = (1..=keys).map(|rank| (rank as f64).powf(-skew)).collect();
    let mut total = 0.0;
    for sum in &mut sums {
        total += *sum;
        *sum = total;
    }
    let mut state = 0u64;
    let uniform = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        total * ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    // Ranks are scattered, so that neighbours in popularity are not neighbours in memory.
    let rank = |point: f64| (sums.partition_point(|sum| *sum < point) as u32).wrapping_mul(0x9e37_79b1);
    (0..accesses).map(uniform).map(rank).collect()
}

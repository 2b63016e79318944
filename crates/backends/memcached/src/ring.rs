//! Which key is on which node: weighted consistent hashing, point for point as libmemcached places it
//! (`MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`), so that other programs find the same keys on the same nodes.

use md5::{Digest, Md5};

use crate::settings::NodeSettings;

/// Points of a node of average weight.
const POINTS: f32 = 160.0;
/// Points that one digest gives.
const POINTS_OF_DIGEST: f32 = 4.0;
/// libmemcached leaves this port out of a node's name.
const PORT_UNNAMED: u16 = 11_211;

/// The points of all nodes on a circle of 32 bits.
#[derive(Debug)]
pub(crate) struct Ring {
    /// Where, and the node's place in the list.
    points: Vec<(u32, usize)>,
    /// How many digests gave the points of each node. It depends on all weights and on how many nodes there are.
    digests: Vec<u32>,
}

impl Ring {
    pub(crate) fn new(nodes: &[NodeSettings]) -> Self {
        let total: u32 = nodes.iter().map(|node| node.weight).sum();
        let (mut points, mut digests) = (Vec::new(), Vec::with_capacity(nodes.len()));
        for (place, node) in nodes.iter().enumerate() {
            // In this order and width, because the result is rounded down.
            let share = node.weight as f32 / total.max(1) as f32;
            let count =
                (share * POINTS / POINTS_OF_DIGEST * nodes.len() as f32 + 0.000_000_000_1).floor() as u32;
            digests.push(count);
            for index in 0..count {
                let name = match node.port {
                    PORT_UNNAMED => format!("{}-{index}", node.host),
                    port => format!("{}:{port}-{index}", node.host),
                };
                let digest: [u8; 16] = Md5::digest(name.as_bytes()).into();
                let (words, _) = digest.as_chunks::<4>();
                points.extend(words.iter().map(|word| (u32::from_le_bytes(*word), place)));
            }
        }
        points.sort_unstable();
        Self { points, digests }
    }

    /// How many digests place the node. With as many in two rings it has the same points in both.
    pub(crate) fn digests(&self, node: usize) -> Option<u32> {
        self.digests.get(node).copied()
    }

    /// The key's node, and after it those that would have it in its place, each once.
    pub(crate) fn walk(&self, key: &[u8]) -> impl Iterator<Item = usize> {
        let digest: [u8; 16] = Md5::digest(key).into();
        let [a, b, c, d, ..] = digest;
        let hash = u32::from_le_bytes([a, b, c, d]);
        let first = self.points.partition_point(|(point, _)| *point < hash);
        let around = self.points.iter().cycle().skip(first).take(self.points.len());
        let mut seen = vec![false; self.digests.len()];
        around.filter_map(move |(_, node)| {
            let seen = seen.get_mut(*node)?;
            (!std::mem::replace(seen, true)).then_some(*node)
        })
    }

    /// The key's node.
    pub(crate) fn first(&self, key: &[u8]) -> Option<usize> {
        if self.digests.len() == 1 {
            return Some(0);
        }
        let digest: [u8; 16] = Md5::digest(key).into();
        let [a, b, c, d, ..] = digest;
        let hash = u32::from_le_bytes([a, b, c, d]);
        let first = self.points.partition_point(|(point, _)| *point < hash);
        self.points.get(first).or_else(|| self.points.first()).map(|(_, node)| *node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> Vec<NodeSettings> {
        (0..count).map(|number| format!("10.0.1.{number}:11311").parse().unwrap()).collect()
    }

    fn keys() -> impl Iterator<Item = String> {
        (0..20_000).map(|number| format!("user:{number}:profile"))
    }

    fn placed(ring: &Ring, key: &str) -> usize {
        ring.first(key.as_bytes()).unwrap()
    }

    #[test]
    fn a_node_that_comes_takes_its_share_and_moves_nothing_else() {
        for count in [2, 3, 5, 10] {
            let (before, after) = (Ring::new(&nodes(count)), Ring::new(&nodes(count + 1)));
            let moved: Vec<usize> = keys()
                .filter(|key| placed(&before, key) != placed(&after, key))
                .map(|key| placed(&after, &key))
                .collect();
            assert!(moved.iter().all(|node| *node == count), "only the new node takes keys");
            let share = moved.len() as f64 / 20_000.0;
            assert!(share <= 1.0 / (count + 1) as f64 + 0.05, "{count} nodes and one more: {share}");
            assert!(share > 0.0, "it takes some");
        }
    }

    #[test]
    fn a_node_that_goes_leaves_its_keys_to_the_others_and_moves_nothing_else() {
        let all = nodes(4);
        let (before, after) = (Ring::new(&all), Ring::new(&all[..3]));
        let stayed = keys().filter(|key| placed(&before, key) < 3);
        assert!(stayed.into_iter().all(|key| placed(&before, &key) == placed(&after, &key)));
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let listed = nodes(5);
        let mut turned = listed.clone();
        turned.reverse();
        let (one, other) = (Ring::new(&listed), Ring::new(&turned));
        assert!(keys().all(|key| listed[placed(&one, &key)] == turned[placed(&other, &key)]));
    }

    #[test]
    fn a_walk_begins_at_the_keys_node_and_passes_each_once() {
        let ring = Ring::new(&nodes(5));
        for key in keys().take(1_000) {
            let mut walk: Vec<usize> = ring.walk(key.as_bytes()).collect();
            assert_eq!(walk.first().copied(), ring.first(key.as_bytes()));
            walk.sort_unstable();
            assert_eq!(walk, [0, 1, 2, 3, 4]);
        }
    }
}

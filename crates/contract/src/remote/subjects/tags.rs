//! What was filled with a tag goes with it.

use forebay_core::error::Result;
use forebay_core::ports::remote_store::{Fill, Filled};

use super::super::Rig;
use super::super::scene::{FILL, can, fill, fill_with, filled, get, keys, lease, offered, put, remove, run};

fn try_remove_tag(rig: &dyn Rig, tag: &str) -> Result<u64> {
    let store = rig.store();
    run(rig, store.remove_tag(tag.as_bytes()))
}

fn can_tag(rig: &dyn Rig) -> bool {
    offered(can(rig).tags, || try_remove_tag(rig, "tag"))
}

fn tagged(rig: &dyn Rig, key: &str, tags: &[&str]) {
    let tags: Vec<&[u8]> = tags.iter().map(|tag| tag.as_bytes()).collect();
    let grant = lease(rig, key);
    filled(fill_with(rig, key, key, Fill { tags: &tags, ..FILL }, grant));
}

pub fn a_tag_takes_all_its_entries_and_no_others(rig: &mut dyn Rig) {
    if can_tag(rig) {
        for key in keys("red", 50) {
            tagged(rig, &key, &["red"]);
        }
        tagged(rig, "blue", &["blue"]);
        tagged(rig, "both", &["blue", "red"]);
        put(rig, "none", "value");
        assert_eq!(try_remove_tag(rig, "red").unwrap(), 51);
        assert!(keys("red", 50).iter().all(|key| get(rig, key).is_none()) && get(rig, "both").is_none());
        assert!(get(rig, "blue").is_some() && get(rig, "none").is_some());
        assert_eq!(try_remove_tag(rig, "red").unwrap(), 0);
    }
}

pub fn an_entry_that_is_filled_again_belongs_to_its_new_tags(rig: &mut dyn Rig) {
    if can_tag(rig) {
        tagged(rig, "key", &["before"]);
        remove(rig, "key");
        tagged(rig, "key", &["after"]);
        assert_eq!(try_remove_tag(rig, "before").unwrap(), 0);
        assert!(get(rig, "key").is_some());
        assert_eq!(try_remove_tag(rig, "after").unwrap(), 1);
        assert_eq!(get(rig, "key"), None);
    }
}

pub fn after_a_tag_was_removed_its_keys_are_filled_anew(rig: &mut dyn Rig) {
    if can_tag(rig) {
        let grant = lease(rig, "key");
        filled(fill_with(rig, "key", "value", Fill { tags: &[b"tag"], ..FILL }, grant));
        try_remove_tag(rig, "tag").unwrap();
        assert_eq!(fill(rig, "key", "older", grant), Filled::Refused);
        tagged(rig, "key", &["tag"]);
        assert!(get(rig, "key").is_some());
    }
}

pub fn a_tag_takes_the_leases_of_its_keys_with_it(rig: &mut dyn Rig) {
    if can_tag(rig) {
        tagged(rig, "key", &["tag"]);
        remove(rig, "key");
        let grant = lease(rig, "key");
        try_remove_tag(rig, "tag").unwrap();
        assert_eq!(fill(rig, "key", "read before", grant), Filled::Refused);
    }
}

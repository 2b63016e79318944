//! The store's scripts.

use crate::script::Script;

pub(super) struct Scripts {
    pub(super) lease: Script,
    pub(super) fill: Script,
    pub(super) put: Script,
    pub(super) leave_tags: Script,
    pub(super) remove: Script,
    pub(super) remove_tag: Script,
    pub(super) add: Script,
    pub(super) touch: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |body| Script::new(&[include_str!("lua/prelude.lua"), body]);
        Self {
            lease: script(include_str!("lua/lease.lua")),
            fill: script(include_str!("lua/fill.lua")),
            put: script(include_str!("lua/put.lua")),
            leave_tags: script(include_str!("lua/leave_tags.lua")),
            remove: script(include_str!("lua/remove.lua")),
            remove_tag: script(include_str!("lua/remove_tag.lua")),
            add: script(include_str!("lua/add.lua")),
            touch: script(include_str!("lua/touch.lua")),
        }
    }
}

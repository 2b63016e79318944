//! The scripts of broker and administration.

use crate::script::Script;

pub(crate) struct Scripts {
    pub(super) ensure: Script,
    pub(super) publish: Script,
    pub(super) take: Script,
    pub(super) settle: Script,
    pub(super) ack: Script,
    pub(super) reclaim: Script,
    pub(super) sweep: Script,
    pub(super) extend: Script,
    pub(super) offer: Script,
    pub(crate) info: Script,
    pub(crate) peek: Script,
    pub(crate) purge: Script,
    pub(crate) delete: Script,
    pub(crate) pause: Script,
    pub(crate) find: Script,
    pub(crate) redrive: Script,
}

/// The first line of scripts that take something in: with its memory full the server refuses them before they do anything.
/// Without this line it would only ask before their first write, and only where that needs memory.
const TAKES_IN: &str = "#!lua\n";
/// The first line of all others: what is in the server can be handed out, settled and moved also when its memory is full.
const MOVES_ON: &str = "#!lua flags=allow-oom\n";

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |first, body| Script::new(&[first, include_str!("lua/prelude.lua"), body]);
        let taking_in = |body| script(TAKES_IN, body);
        let plain = |body| script(MOVES_ON, body);
        let moving = |body| {
            let parts = [
                MOVES_ON,
                include_str!("lua/prelude.lua"),
                include_str!("lua/dead_letter.lua"),
                include_str!("lua/due.lua"),
                body,
            ];
            Script::new(&parts)
        };
        Self {
            ensure: taking_in(include_str!("lua/ensure.lua")),
            publish: taking_in(include_str!("lua/publish.lua")),
            take: moving(include_str!("lua/take.lua")),
            settle: moving(include_str!("lua/settle.lua")),
            ack: plain(include_str!("lua/ack.lua")),
            reclaim: plain(include_str!("lua/reclaim.lua")),
            sweep: moving(include_str!("lua/sweep.lua")),
            extend: plain(include_str!("lua/extend.lua")),
            offer: plain(include_str!("lua/offer.lua")),
            info: moving(include_str!("../admin/lua/info.lua")),
            peek: moving(include_str!("../admin/lua/peek.lua")),
            purge: plain(include_str!("../admin/lua/purge.lua")),
            delete: plain(include_str!("../admin/lua/delete.lua")),
            pause: plain(include_str!("../admin/lua/pause.lua")),
            find: moving(include_str!("../admin/lua/find.lua")),
            redrive: moving(include_str!("../admin/lua/redrive.lua")),
        }
    }
}

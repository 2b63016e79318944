//! The scripts of broker and administration.

use crate::script::Script;

pub(crate) struct Scripts {
    pub(super) ensure: Script,
    pub(super) publish: Script,
    pub(super) publish_plain: Script,
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

/// Before anything is done in a cluster without the prelude, for the same reason as there.
const STAYS: &str = "if redis.pcall('EXISTS', ARGV[1] .. 'nothing') ~= 0 then
  return redis.error_reply('TRYAGAIN the slot of these keys is on its way to another server')
end
";

impl Scripts {
    pub(super) fn new(is_cluster: bool) -> Self {
        let (prelude, moves) = (include_str!("lua/prelude.lua"), include_str!("lua/moving.lua"));
        let taking_in = |body| Script::new(&[TAKES_IN, prelude, body]);
        let plain = |body| Script::new(&[MOVES_ON, prelude, body]);
        let moving = |body| Script::new(&[MOVES_ON, prelude, moves, body]);
        let stays = if is_cluster { STAYS } else { "" };
        let [short_take, short_ack] = [include_str!("lua/short/take.lua"), include_str!("lua/short/ack.lua")];
        let (take, ack) = (include_str!("lua/take.lua"), include_str!("lua/ack.lua"));
        Self {
            ensure: taking_in(include_str!("lua/ensure.lua")),
            publish: taking_in(include_str!("lua/publish.lua")),
            publish_plain: Script::new(&[TAKES_IN, stays, include_str!("lua/short/publish.lua")]),
            take: Script::new(&[MOVES_ON, stays, short_take, prelude, moves, take]),
            settle: moving(include_str!("lua/settle.lua")),
            ack: Script::new(&[MOVES_ON, stays, short_ack, prelude, ack]),
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

//! What every shared store promises, kept by three memcacheds that have not the meta commands: real ones, behind something
//! that knows only what such a server would.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod filter;
#[path = "../rig/mod.rs"]
#[expect(dead_code, reason = "each test needs a part of it")]
mod rig;

use forebay_core::entry::Mode;
use forebay_core::ports::remote_store::{Put, RemoteStore};
use rig::Real;

fn classic() -> Real {
    Real::over(3, rig::TIME_OUT, "", |server| filter::before(server.address))
}

forebay_contract::remote!(classic);

#[test]
fn a_value_may_say_anything() {
    let rig = classic();
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    let values =
        ["END\r\n", "\r\nEND\r\nVALUE key 0 1\r\na\r\nEND\r\n", "STORED", "12", "mn\r\nmg key v\r\n"];
    for value in values {
        let read = rig.runtime.block_on(async {
            rig.store.put(b"key", value.as_bytes(), put).await.expect("it is there");
            rig.store.get(&[b"key"]).await.remove(0).expect("it answers").expect("it is there")
        });
        assert_eq!(*read.value, *value.as_bytes());
    }
}

//! What every shared store promises, kept by three memcacheds.

mod rig;

use rig::Real;

fn memcached() -> Real {
    Real::new(3, "")
}

forebay_contract::remote!(memcached);

//! Orders, and the basket in which they are gathered for the next burst.

use std::mem;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::demo::limits;

/// One piece of one product, ordered by one customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::demo) struct Order {
    /// Unlike any other order's.
    pub(in crate::demo) id: String,
    /// The product's key.
    pub(in crate::demo) product: u32,
}

/// Orders that customers have placed since the last burst. A shop with as many orders as it can do turns people away
/// before it takes their order, not after.
#[derive(Debug, Default)]
pub(in crate::demo) struct Basket {
    placed: Mutex<Placed>,
}

#[derive(Debug, Default)]
struct Placed {
    orders: Vec<Order>,
    /// Of all bursts.
    count: u64,
}

impl Basket {
    /// Places an order; `false` if too many of those placed before are not among the `done`.
    pub(super) fn place(&self, order: Order, done: u64) -> bool {
        let mut placed = self.placed.lock();
        let room = placed.count.saturating_sub(done) < limits::OPEN_ORDERS_MAX;
        if room {
            placed.orders.push(order);
            placed.count += 1;
        }
        room
    }

    /// Takes the orders of one burst out.
    pub(super) fn take(&self) -> Vec<Order> {
        mem::take(&mut self.placed.lock().orders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customers_are_turned_away_while_there_are_too_many_open_orders() {
        let basket = Basket::default();
        let order = || Order { id: "a".into(), product: 7 };
        for _ in 0..limits::OPEN_ORDERS_MAX {
            assert!(basket.place(order(), 0));
        }
        assert!(!basket.place(order(), 0));
        assert_eq!(basket.take().len() as u64, limits::OPEN_ORDERS_MAX);
        assert!(!basket.place(order(), 0), "published is not done");
        assert!(basket.place(order(), 1));
        assert!(!basket.place(order(), 1));
    }
}

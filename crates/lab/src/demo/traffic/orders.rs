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

/// Orders that customers have placed since the last burst. Bounded: a shop that is sold out turns people away before
/// it takes their order, not after.
#[derive(Debug, Default)]
pub(in crate::demo) struct Basket {
    orders: Mutex<Vec<Order>>,
}

impl Basket {
    /// Places an order; `false` if the basket is full.
    pub(super) fn place(&self, order: Order) -> bool {
        let mut orders = self.orders.lock();
        let room = orders.len() < limits::BASKET_ORDERS_MAX;
        if room {
            orders.push(order);
        }
        room
    }

    /// Takes all orders out.
    pub(super) fn take(&self) -> Vec<Order> {
        mem::take(&mut *self.orders.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_basket_turns_orders_away_until_it_is_taken() {
        let basket = Basket::default();
        let order = |number: usize| Order { id: format!("order-{number}"), product: 7 };
        for number in 0..limits::BASKET_ORDERS_MAX {
            assert!(basket.place(order(number)));
        }
        assert!(!basket.place(order(0)));
        assert_eq!(basket.take().len(), limits::BASKET_ORDERS_MAX);
        assert!(basket.place(order(0)));
    }
}

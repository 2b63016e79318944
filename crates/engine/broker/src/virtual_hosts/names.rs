//! What a virtual host's queue is called among all queues of the broker, and back.
//!
//! A queue of the virtual host `/` has its own name; `q` of the virtual host `v` is `//v/q`. In the virtual host's part `%`
//! and `/` are written `%25` and `%2F`, so that each name is that of one queue only.

use std::borrow::Cow;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::queue::QueueName;

/// The virtual host whose queues have their own names: the one that everybody has.
pub const DEFAULT: &str = "/";
const PREFIX: &str = "//";

/// The broker's name of a virtual host's queue. `Invalid`: it has none, being too long, or seeming another's.
///
/// ```
/// use forebay_broker::virtual_hosts::names::queue_name;
///
/// assert_eq!(queue_name("/", "orders")?.as_str(), "orders");
/// assert_eq!(queue_name("shop", "orders")?.as_str(), "//shop/orders");
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
pub fn queue_name(vhost: &str, queue: &str) -> Result<QueueName> {
    if vhost != DEFAULT {
        let vhost = vhost.replace('%', "%25").replace('/', "%2F");
        return match queue {
            "" => QueueName::new(queue),
            _ => QueueName::new(&format!("{PREFIX}{vhost}/{queue}")),
        };
    }
    if queue.starts_with(PREFIX) {
        let context = "a name in the virtual host / does not begin with //";
        return Err(Error::new(Kind::Invalid, "name queue", context));
    }
    QueueName::new(queue)
}

/// The virtual host of a queue, and its name there. Another front may have given a name that only looks like one of a
/// virtual host: that is a queue of `/`, under its whole name.
pub fn place(queue: &QueueName) -> (Cow<'_, str>, &str) {
    let name = queue.as_str();
    let Some((vhost, local)) = name.strip_prefix(PREFIX).and_then(|name| name.split_once('/')) else {
        return (Cow::Borrowed(DEFAULT), name);
    };
    let vhost = match vhost.contains('%') {
        true => Cow::Owned(vhost.replace("%2F", "/").replace("%25", "%")),
        false => Cow::Borrowed(vhost),
    };
    match queue_name(&vhost, local) {
        Ok(given) if given == *queue => (vhost, local),
        _ => (Cow::Borrowed(DEFAULT), name),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_queue_of_every_virtual_host_has_a_name_of_its_own(vhost in "[a%/25F]{0,6}", queue in "[a%/]{1,6}") {
            match queue_name(&vhost, &queue) {
                Ok(name) => {
                    let (at, local) = place(&name);
                    prop_assert_eq!((&*at, local), (&*vhost, &*queue));
                }
                Err(_) => prop_assert!(vhost == DEFAULT && queue.starts_with(PREFIX)),
            }
        }
    }

    #[test]
    fn a_name_that_is_no_virtual_hosts_is_one_of_the_default_one() {
        for name in ["orders", "/orders", "//", "//orders", "//v/"] {
            assert_eq!(place(&QueueName::new(name).unwrap()), (DEFAULT.into(), name));
        }
        assert!(queue_name("v", "").is_err() && queue_name("/", "").is_err());
        assert!(queue_name("v", &"q".repeat(252)).is_err(), "its whole name is too long");
    }

    #[test]
    fn a_name_that_no_virtual_host_gives_is_placed_under_its_whole_self() {
        for name in ["//%2F/q", "//%41/x", "//v", "//v/", "///q"] {
            let queue = QueueName::new(name).unwrap();
            let (vhost, local) = place(&queue);
            assert!(
                queue_name(&vhost, local).is_ok_and(|given| given == queue)
                    || (&*vhost, local) == ("/", name)
            );
            assert_ne!((&*vhost, local), ("/", "q"), "{name}");
        }
    }
}

//! What queues and keys are called on SQS, which takes letters, digits, hyphens and underscores only.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::sqs as limits;
use forebay_core::queue::QueueName;

/// What an ordered queue of SQS's ends in.
const FIFO: &str = ".fifo";
/// What the queue ends in where messages wait for their time.
const LATER: &str = "__later";

/// The names of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// Of the queue itself, in the order of arrival.
    pub(crate) plain: String,
    /// Of the same, in order by key.
    pub(crate) fifo: String,
    /// Of where its messages wait for their time.
    pub(crate) later: String,
}

impl Names {
    /// `Unsupported` where the name is too long for SQS.
    pub(crate) fn new(prefix: &str, queue: &QueueName) -> Result<Self> {
        let plain = format!("{prefix}{}", escape(queue.as_str()));
        if plain.len() > limits::NAME_BYTES_MAX {
            let context = format!("{queue}: its name is longer than SQS takes");
            return Err(Error::new(Kind::Unsupported, "name queue", context));
        }
        Ok(Self { fifo: format!("{plain}{FIFO}"), later: format!("{plain}{LATER}"), plain })
    }
}

/// The queue that is called so on SQS; `None` if that is none of ours.
pub(crate) fn read(prefix: &str, name: &str) -> Option<QueueName> {
    let name = name.strip_prefix(prefix)?;
    if name.ends_with(LATER) {
        return None;
    }
    QueueName::new(&unescape(name.strip_suffix(FIFO).unwrap_or(name))?).ok()
}

/// A name that SQS takes stays as it is. In any other one each byte but letters, digits and hyphens is two underscores and two
/// digits.
fn escape(name: &str) -> String {
    let takes = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.bytes().all(|byte| takes(byte) || byte == b'_') && !name.contains("__") {
        return name.to_owned();
    }
    let escaped = name.bytes().map(|byte| match takes(byte) {
        true => char::from(byte).to_string(),
        false => format!("__{byte:02x}"),
    });
    escaped.collect()
}

fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split("__");
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The message group of a key. Keys that share one wait for each other, which costs time and no order.
pub(crate) fn group(key: &str) -> String {
    let short = key.len() <= 100 && key.bytes().all(|byte| byte.is_ascii_graphic());
    if short { format!("k-{key}") } else { format!("h-{:016x}", fnv(key.as_bytes())) }
}

/// Fowler–Noll–Vo: the same in every process.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    #[test]
    fn every_queue_has_names_of_its_own_that_lead_back_to_it() {
        let mut seen = std::collections::HashSet::new();
        for name in ["orders", "two_words", "two__words", "a.b", "a__2eb", "ä ö", "x.fifo", "_", "__", "a_.b"]
        {
            let names = Names::new("shop-", &queue(name)).unwrap();
            assert!(names.later.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            assert_eq!(read("shop-", &names.plain), Some(queue(name)));
            assert_eq!(read("shop-", &names.fifo), Some(queue(name)));
            assert_eq!(read("shop-", &names.later), None);
            assert!(seen.insert(names.plain.clone()), "{name}");
        }
        assert_eq!(Names::new("", &queue("two_words")).unwrap().plain, "two_words");
        assert_eq!(read("shop-", "other"), None);
    }

    #[test]
    fn a_name_at_its_limit_is_taken_and_beyond_it_refused() {
        let at_most = limits::NAME_BYTES_MAX - 2;
        let names = Names::new("p-", &queue(&"q".repeat(at_most))).unwrap();
        assert!(names.later.len() <= 80 && names.fifo.len() <= 80);
        let refused = Names::new("p-", &queue(&"q".repeat(at_most + 1))).unwrap_err();
        assert_eq!(refused.kind(), Kind::Unsupported);
    }

    #[test]
    fn every_key_has_a_group_that_sqs_takes() {
        for key in ["customer-7", "customer 7", "ä", "", &"k".repeat(255)] {
            let group = group(key);
            assert!(!group.is_empty() && group.len() <= 128);
            assert!(group.bytes().all(|byte| byte.is_ascii_graphic()), "{group}");
        }
        assert_ne!(group("a b"), group("a c"));
    }
}

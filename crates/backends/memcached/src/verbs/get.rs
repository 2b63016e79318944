//! Reading many keys of many nodes at once.

use std::sync::Arc;

use forebay_core::error::{Error, Result};
use forebay_core::limits::MEMCACHED_CALL_COMMANDS_MAX;
use forebay_core::ports::remote_store::Shared;
use forebay_wire::memcached::reply::Code;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::ask::{check_key, failed, shared};
use crate::link::Link;
use crate::link::awaited::Received;
use crate::node::{Node, Trouble};
use crate::store::{Inner, Place};

const OPERATION: &str = "get key";

/// The keys of one node, by their places in the call.
struct Part {
    node: Arc<Node>,
    places: Vec<usize>,
}

pub(crate) async fn get(inner: &Inner, keys: &[&[u8]]) -> Vec<Result<Option<Shared>>> {
    match keys {
        [key] => vec![get_one(inner, key).await],
        _ => get_many(inner, keys).await,
    }
}

async fn get_one(inner: &Inner, key: &[u8]) -> Result<Option<Shared>> {
    check_key(OPERATION, key)?;
    let deadline = Instant::now() + inner.settings.timeout;
    let place = inner.place(&inner.cluster(), key);
    let Place { node, .. } = place.ok_or_else(|| failed(OPERATION, key, None, Trouble::Closed))?;
    match read(&node, &[key], &[0], deadline).await {
        Ok((link, mut found)) => Ok(found.pop().and_then(|(_, reply)| shared(&link, reply))),
        Err(trouble) => Err(failed(OPERATION, key, Some(&node), trouble)),
    }
}

async fn get_many(inner: &Inner, keys: &[&[u8]]) -> Vec<Result<Option<Shared>>> {
    let deadline = Instant::now() + inner.settings.timeout;
    let mut answers: Vec<Option<Result<Option<Shared>>>> = keys.iter().map(|_| None).collect();
    let mut set = |place: usize, answer| {
        if let Some(free) = answers.get_mut(place) {
            *free = Some(answer);
        }
    };
    let (parts, refused) = by_node(inner, keys);
    refused.into_iter().for_each(|(place, error)| set(place, Err(error)));
    let asked = parts
        .iter()
        .flat_map(|part| part.places.chunks(MEMCACHED_CALL_COMMANDS_MAX).map(move |places| (part, places)));
    let read =
        asked.map(async |(part, places)| (part, places, read(&part.node, keys, places, deadline).await));
    for (part, places, found) in join_all(read).await {
        match found {
            Ok((link, found)) => {
                // What is not among the replies is not there.
                places.iter().for_each(|place| set(*place, Ok(None)));
                for (place, reply) in found {
                    set(place, Ok(shared(&link, reply)));
                }
            }
            Err(trouble) => {
                for place in places {
                    let key = keys.get(*place).copied().unwrap_or_default();
                    set(*place, Err(failed(OPERATION, key, Some(&part.node), trouble)));
                }
            }
        }
    }
    let missing = || Err(failed(OPERATION, b"", None, Trouble::Closed));
    answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
}

/// Which node has which keys, and those that none has.
fn by_node(inner: &Inner, keys: &[&[u8]]) -> (Vec<Part>, Vec<(usize, Error)>) {
    let cluster = inner.cluster();
    let (mut parts, mut refused): (Vec<Part>, Vec<(usize, Error)>) = (Vec::new(), Vec::new());
    for (place, key) in keys.iter().enumerate() {
        if let Err(error) = check_key(OPERATION, key) {
            refused.push((place, error));
            continue;
        }
        let Some(asked) = inner.place(&cluster, key) else { continue };
        match parts.iter_mut().find(|part| Arc::ptr_eq(&part.node, &asked.node)) {
            Some(part) => part.places.push(place),
            None => parts.push(Part { node: asked.node, places: vec![place] }),
        }
    }
    (parts, refused)
}

/// The replies for the keys at these places that are there.
async fn read(
    node: &Node,
    keys: &[&[u8]],
    places: &[usize],
    deadline: Instant,
) -> std::result::Result<(Arc<Link>, Vec<(usize, Received)>), Trouble> {
    let link = node.link(None, deadline).await?;
    let mut commands = node.commands(&link);
    commands.get(places.iter().map(|place| keys.get(*place).copied().unwrap_or_default()));
    let (first, quiet) = (commands.first, commands.quiet);
    let replies = node.call(&link, commands, deadline).await?;
    let mut found = Vec::with_capacity(replies.len());
    for (order, reply) in replies.into_iter().enumerate() {
        let number = match reply.marks.opaque {
            Some(opaque) => usize::try_from(opaque.wrapping_sub(first)).ok(),
            // Where each key is answered, the order tells: the classic words have no numbers, nor has a miss before 1.6.18.
            None => (!quiet).then_some(order),
        };
        match (reply.code, number.and_then(|number| places.get(number))) {
            (Code::Value, Some(place)) => found.push((*place, reply)),
            (Code::Miss | Code::End, Some(_)) => {}
            // An error says nothing of which key it was for.
            _ => return Err(Trouble::Away),
        }
    }
    Ok((link, found))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::commands::Dialect;
    use crate::link::carry;

    /// What is found of these keys where the server says this.
    async fn found(keys: &[&[u8]], says: &[u8]) -> std::result::Result<Vec<usize>, Trouble> {
        let node = Node::new("localhost".parse().unwrap(), 1, Duration::from_secs(60), false);
        let (ours, mut server) = duplex(1 << 16);
        let (link, calls) = Link::new(1, 0, Dialect::Meta { numbers_ours: false });
        let _task = tokio::spawn(carry(ours, calls));
        node.set_links(vec![Some(Arc::new(link))]);
        assert!(node.set_up());
        let places: Vec<usize> = (0..keys.len()).collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        let answer = async {
            server.read_u8().await.unwrap();
            server.write_all(says).await.unwrap();
        };
        let (read, ()) = tokio::join!(read(&node, keys, &places, deadline), answer);
        Ok(read?.1.into_iter().map(|(place, _)| place).collect())
    }

    #[tokio::test]
    async fn a_miss_without_its_number_is_one_where_each_key_is_answered() {
        assert_eq!(found(&[b"a"], b"EN\r\n").await, Ok(vec![]));
        assert_eq!(found(&[b"a"], b"EN O0\r\n").await, Ok(vec![]));
        assert_eq!(found(&[b"a"], b"VA 1 f0 c1 O0\r\nx\r\n").await, Ok(vec![0]));
        assert_eq!(found(&[b"a", b"b"], b"VA 1 f0 c1 O1\r\nx\r\nMN\r\n").await, Ok(vec![1]));
        // Of which key it is cannot be told.
        assert_eq!(found(&[b"a", b"b"], b"EN\r\nMN\r\n").await, Err(Trouble::Away));
    }
}

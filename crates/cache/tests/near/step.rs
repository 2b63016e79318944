//! A shared store whose every call takes three steps: it is on its way, it has happened, it is answered.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use forebay_core::entry::Version;
use forebay_core::error::Result;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};

/// Ends a step: the call goes on when it is polled again.
pub(crate) async fn step() {
    let mut waited = false;
    poll_fn(|_| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        Poll::Pending
    })
    .await;
}

pub(crate) struct Steps<S>(pub(crate) Arc<S>);

impl<S: RemoteStore> Steps<S> {
    async fn walk<T>(&self, call: BoxFuture<'_, T>) -> T {
        step().await;
        let answer = call.await;
        step().await;
        answer
    }
}

impl<S: RemoteStore> RemoteStore for Steps<S> {
    fn capabilities(&self) -> RemoteCapabilities {
        self.0.capabilities()
    }

    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
        Box::pin(self.walk(self.0.get(keys)))
    }

    fn get_or_lease<'a>(&'a self, key: &'a [u8], lease: Duration) -> BoxFuture<'a, Result<Asked>> {
        Box::pin(self.walk(self.0.get_or_lease(key, lease)))
    }

    fn fill<'a>(
        &'a self,
        key: &'a [u8],
        value: &'a [u8],
        fill: Fill<'a>,
        grant: Grant,
    ) -> BoxFuture<'a, Result<Filled>> {
        Box::pin(self.walk(self.0.fill(key, value, fill, grant)))
    }

    fn put<'a>(&'a self, key: &'a [u8], value: &'a [u8], put: Put) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(self.walk(self.0.put(key, value, put)))
    }

    fn remove<'a>(
        &'a self,
        key: &'a [u8],
        version: Option<Version>,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(self.walk(self.0.remove(key, version, hold)))
    }

    fn remove_tag<'a>(&'a self, tag: &'a [u8]) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.walk(self.0.remove_tag(tag)))
    }

    fn add<'a>(&'a self, key: &'a [u8], addition: Addition) -> BoxFuture<'a, Result<Sum>> {
        Box::pin(self.walk(self.0.add(key, addition)))
    }

    fn touch<'a>(&'a self, key: &'a [u8], life: Option<Duration>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.walk(self.0.touch(key, life)))
    }
}

//! The end of serving.

use tokio::sync::watch;

/// Is ready once the front shall stop: its owner has said so, or is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

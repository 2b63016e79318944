//! Where the topic of all queues ends, asked once for all who want to know: a question takes a thread until it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use forebay_core::error::Result;
use rdkafka::error::KafkaResult;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::inner::Inner;

/// The last answer. Whoever asks holds it until there is another.
#[derive(Default)]
pub(crate) struct End {
    begun: AtomicU64,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    /// Which question this is the answer to.
    number: u64,
    end: Option<KafkaResult<i64>>,
}

impl End {
    /// As it was when this was called, or later. One question is under way; whoever comes meanwhile shares the next one.
    pub(crate) async fn ask(
        &self,
        inner: &Inner,
        operation: &'static str,
        ask: impl FnOnce() -> KafkaResult<i64> + Send + 'static,
    ) -> Result<KafkaResult<i64>> {
        let wanted = self.begun.load(SeqCst) + 1;
        let mut told: OwnedMutexGuard<Told> = self.told.clone().lock_owned().await;
        if let Some(end) = told.end.clone().filter(|_| told.number >= wanted) {
            return Ok(end);
        }
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        // Whoever has asked may be gone: it is under way until the client gives up.
        let answered = inner.blocking(operation, move || {
            let end = ask();
            *told = Told { number, end: Some(end.clone()) };
            end
        });
        answered.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;
    use std::sync::mpsc;

    use forebay_runtime::clock::TokioClock;
    use futures_util::future::join_all;

    use super::*;
    use crate::settings::KafkaSettings;

    #[tokio::test]
    async fn whoever_comes_while_the_end_is_asked_for_shares_the_next_question() {
        let settings = KafkaSettings::parse("kafka://127.0.0.1:1").unwrap();
        let (inner, _errands) = Inner::new(settings, Arc::new(TokioClock::new()));
        let (end, asked) = (End::default(), Arc::new(AtomicI64::new(0)));
        let ask = || {
            let asked = asked.clone();
            move || Ok(asked.fetch_add(1, SeqCst))
        };
        let (answer, answered) = mpsc::channel::<()>();
        let count = ask();
        let first = end.ask(&inner, "test", move || {
            let _ = answered.recv();
            count()
        });
        let others = async {
            let others = join_all((0..9).map(|_| end.ask(&inner, "test", ask())));
            let answers = async {
                tokio::task::yield_now().await;
                answer.send(()).unwrap();
            };
            tokio::join!(others, answers).0
        };
        let (first, others) = tokio::join!(biased; first, others);
        assert_eq!(first.unwrap(), Ok(0));
        assert!(others.into_iter().all(|end| end.unwrap() == Ok(1)));
        assert_eq!(asked.load(SeqCst), 2);
        assert_eq!(
            end.ask(&inner, "test", ask()).await.unwrap(),
            Ok(2),
            "what was told before may not be so any more"
        );
    }
}

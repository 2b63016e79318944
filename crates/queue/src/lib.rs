//! The queue's rules: publish, deliver, settle, retry, worker.

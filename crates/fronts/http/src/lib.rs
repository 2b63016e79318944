//! The HTTP front: health, metrics, queues and cache as JSON.

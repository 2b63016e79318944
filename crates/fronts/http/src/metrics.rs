//! The state of every part as Prometheus text, read at the moment of the question.

use std::fmt;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use forebay_core::error::{Error, Kind};
use forebay_core::health::BROKER;
use forebay_core::limits;
use forebay_core::ports::broker::QueueInfo;
use forebay_core::pressure::{PressureStats, Rung};
use forebay_core::stats::{LogStats, PinnedStats, QueueStats, SizeClass, StoreStats};
use forebay_log::Log;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tracing::warn;

use crate::errors::{Answer, ErrorBody};
use crate::parts::Cached;
use crate::router::App;

/// The label of the queues beyond [`limits::http::METRICS_QUEUES_MAX`], summed up.
const OTHERS: &str = "(others)";

/// Shows the metrics
///
/// In the OpenMetrics text format, which Prometheus reads.
#[utoipa::path(
    get, path = "/metrics", tag = "process", operation_id = "metrics",
    responses(
        (status = 200, description = "All metrics.", body = String,
            content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (status = 503, description = "The daemon is stopping.", body = ErrorBody),
    )
)]
pub(crate) async fn metrics(State(app): State<App>) -> Answer<impl IntoResponse> {
    let queues = list_queues(&app).await?;
    let away = app.parts.health.away().len() + app.parts.health.partly_away().len();
    let mut fronts = vec![("http", &app.connections)];
    fronts.extend(app.parts.fronts.iter().map(|front| (front.name, &front.connections)));
    let memory = app.parts.cache.memory();
    let classes = memory.detail().classes.into_iter();
    let snapshot = Snapshot {
        store: memory.stats(),
        is_shared: matches!(app.parts.cache, Cached::Shared { .. }),
        pinned: app.parts.cache.pinned(),
        classes: classes.map(|class| (class.bytes_max.to_string(), class)).collect(),
        pressure: app.parts.pressure.stats(),
        log: app.parts.log.as_ref().map(Log::stats),
        queues: labelled(queues),
        counts: app.parts.admin.capabilities().counts,
        away: away as u64,
        fronts: fronts
            .iter()
            .map(|(name, connections)| Connections {
                front: name,
                current: connections.current(),
                total: connections.total(),
                refused: connections.refused(),
            })
            .collect(),
        started_ms: app.started_at.as_ms(),
        failures: app.parts.health.failures().len() as u64,
        version: app.parts.version,
    };
    let mut registry = Registry::with_prefix("forebay");
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    // Writing to a string cannot fail, and a collector of ours does not.
    let _written = prometheus_client::encoding::text::encode(&mut text, &registry);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}

/// What the queues hold. A broker that cannot list them, that is away or that takes too long has none to show: everything else
/// is shown all the same.
async fn list_queues(app: &App) -> Answer<Vec<QueueInfo>> {
    if !app.parts.admin.capabilities().list || app.parts.health.is_away(BROKER) {
        return Ok(Vec::new());
    }
    let clock = &app.parts.clock;
    let listed = tokio::select! {
        listed = app.parts.admin.queues() => listed,
        () = clock.sleep_until(clock.now() + limits::http::METRICS_QUEUES_WAIT_MAX) => {
            Err(Error::new(Kind::Unavailable, "list queues for", "the metrics in time"))
        }
    };
    match listed {
        Err(error) if error.kind() == Kind::Closed => Err(error.into()),
        Err(error) => {
            warn!(%error, "the metrics are without queues");
            Ok(Vec::new())
        }
        Ok(queues) => Ok(queues),
    }
}

/// One label a queue, up to a bound; the rest are summed up.
fn labelled(queues: Vec<QueueInfo>) -> Vec<(String, QueueStats)> {
    let mut queues = queues.into_iter();
    let name = |QueueInfo { settings, stats, .. }| (settings.name.to_string(), stats);
    let mut labelled: Vec<_> = queues.by_ref().take(limits::http::METRICS_QUEUES_MAX).map(name).collect();
    if let Some(QueueInfo { stats: mut others, .. }) = queues.next() {
        queues.for_each(|queue| add(&mut others, &queue.stats));
        labelled.push((OTHERS.to_owned(), others));
    }
    labelled
}

fn add(sum: &mut QueueStats, one: &QueueStats) {
    sum.ready += one.ready;
    sum.held += one.held;
    sum.delayed += one.delayed;
    sum.oldest_ms = sum.oldest_ms.max(one.oldest_ms);
    sum.published += one.published;
    sum.delivered += one.delivered;
    sum.acked += one.acked;
    sum.retried += one.retried;
    sum.dead_lettered += one.dead_lettered;
    sum.dropped += one.dropped;
    sum.repeated += one.repeated;
    sum.dedup_forgotten += one.dedup_forgotten;
}

#[derive(Debug)]
struct Connections {
    front: &'static str,
    current: u64,
    total: u64,
    refused: u64,
}

/// Everything at one moment.
#[derive(Debug)]
struct Snapshot {
    store: StoreStats,
    /// Whether these are copies of a shared store.
    is_shared: bool,
    pinned: Option<PinnedStats>,
    /// With their labels; keys are no labels, for there is no end of them.
    classes: Vec<(String, SizeClass)>,
    pressure: PressureStats,
    log: Option<LogStats>,
    queues: Vec<(String, QueueStats)>,
    /// Whether the broker knows more of them than what is ready.
    counts: bool,
    /// Parts that this process uses and cannot reach, or not all of their servers.
    away: u64,
    fronts: Vec<Connections>,
    started_ms: u64,
    failures: u64,
    version: &'static str,
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.process(&mut page)?;
        self.cache(&mut page)?;
        self.pinned(&mut page)?;
        self.memory(&mut page)?;
        self.log(&mut page)?;
        self.queues(&mut page)
    }
}

impl Snapshot {
    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let build = Info::new([("version", self.version)]);
        page.one("build", "What is running", MetricType::Info, &build)?;
        let started = ConstGauge::new(self.started_ms as f64 / 1e3);
        page.one("start_time_seconds", "When the process began, since 1970", MetricType::Gauge, &started)?;
        let failures = ConstGauge::new(self.failures);
        page.one(
            "failures",
            "Parts that have died and only a restart repairs",
            MetricType::Gauge,
            &failures,
        )?;
        page.gauge(
            "away",
            "Shared stores and brokers that cannot be reached, or not all of their servers",
            self.away,
        )?;
        page.family("connections", "Connections that are open", MetricType::Gauge, "front", || {
            self.fronts.iter().map(|front| (front.front, ConstGauge::new(front.current)))
        })?;
        page.family("connections_opened", "Connections ever opened", MetricType::Counter, "front", || {
            self.fronts.iter().map(|front| (front.front, ConstCounter::new(front.total)))
        })?;
        page.family("connections_refused", "Connections turned away", MetricType::Counter, "front", || {
            self.fronts.iter().map(|front| (front.front, ConstCounter::new(front.refused)))
        })
    }

    fn pinned(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(pinned) = &self.pinned else { return Ok(()) };
        for (name, help, value) in [
            ("pinned_items", "Pinned results that are there", pinned.items),
            ("pinned_bytes", "Bytes that pinned results take, keys and overhead included", pinned.bytes),
            ("pinned_budget_bytes", "The budget for them", pinned.bytes_max),
            ("pinned_log_disk_bytes", "Disk taken by the log of pinned results", pinned.log.disk_bytes),
        ] {
            page.gauge(name, help, value)?;
        }
        for (name, help, value) in [
            ("pinned_refused", "Writes of pinned results refused for want of room", pinned.refused),
            ("pinned_expired", "Pinned results dropped because their time was over", pinned.expired),
            ("pinned_log_syncs", "Completed syncs of the log of pinned results", pinned.log.syncs),
        ] {
            page.counter(name, help, value)?;
        }
        Ok(())
    }

    fn cache(&self, page: &mut Page<'_>) -> fmt::Result {
        let store = &self.store;
        let help = "1 where the cache is copies of a shared store: a miss of a copy is asked for there";
        page.gauge("cache_shared", help, u64::from(self.is_shared))?;
        for (name, help, value) in [
            ("cache_items", "Entries that are there", store.items),
            ("cache_bytes", "Bytes that entries take, keys and overhead included", store.bytes),
            ("cache_budget_bytes", "The budget for them", store.bytes_max),
        ] {
            page.gauge(name, help, value)?;
        }
        for (name, help, value) in [
            ("cache_hits", "Reads that found a value", store.hits),
            ("cache_misses", "Reads that did not", store.misses),
            ("cache_writes", "Writes that stored", store.writes),
            ("cache_items_created", "Entries ever created", store.items_created),
            ("cache_evicted", "Entries pushed out to make room", store.evicted),
            ("cache_evicted_unread", "Of those, never read", store.evicted_unread),
            ("cache_evicted_by_resize", "Of those, for a smaller budget", store.evicted_by_resize),
            ("cache_flushed", "Entries dropped because everything was", store.flushed),
            ("cache_removed", "Entries taken out because somebody asked for it", store.removed),
            ("cache_replaced", "Values that gave way to another one under the same key", store.replaced),
            ("cache_expired", "Entries dropped because their time was over", store.expired),
            (
                "cache_fills_refused",
                "Fills refused because the lease was no longer good",
                store.fills_refused,
            ),
        ] {
            page.counter(name, help, value)?;
        }
        type Read = fn(&SizeClass) -> u64;
        let classes: [(&str, &str, Read); 2] = [
            ("cache_class_items", "Entries whose key and value are at most so large", |class| class.items),
            ("cache_class_bytes", "Bytes of their keys and values", |class| class.bytes),
        ];
        for (name, help, read) in classes {
            page.family(name, help, MetricType::Gauge, "bytes_max", || {
                self.classes.iter().map(move |(label, class)| (label.as_str(), ConstGauge::new(read(class))))
            })?;
        }
        Ok(())
    }

    fn memory(&self, page: &mut Page<'_>) -> fmt::Result {
        let pressure = &self.pressure;
        for (name, help, value) in [
            (
                "memory_budget_bytes",
                "The budget for cache and queues together, 0 without one",
                pressure.total_max,
            ),
            ("memory_queue_entries_bytes", "Memory that messages and queues take", pressure.queues.entries),
            ("memory_queue_bodies_bytes", "Payloads of queues in memory", pressure.queues.bodies),
            ("memory_queue_bodies_budget_bytes", "The budget for them at present", pressure.bodies_max),
        ] {
            page.gauge(name, help, value)?;
        }
        let help = "1 for the rung that memory pressure has come to";
        page.family("memory_rung", help, MetricType::Gauge, "rung", || {
            Rung::ALL.into_iter().map(|rung| (rung.name(), ConstGauge::new(u64::from(rung == pressure.rung))))
        })
    }

    fn log(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(log) = &self.log else { return Ok(()) };
        for (name, help, value) in [
            ("log_pending_bytes", "Bytes appended and not yet durable", log.pending_bytes),
            ("log_segments", "Segments in use", log.segments),
            (
                "log_disk_bytes",
                "Bytes of all segments, spare ones and the files of large payloads included",
                log.disk_bytes,
            ),
            ("log_disk_budget_bytes", "The budget for them", log.disk_bytes_max),
            ("log_poisoned", "1 after a failed write or sync", u64::from(log.poisoned)),
            ("log_full", "1 while appends are refused for want of space", u64::from(log.full)),
        ] {
            page.gauge(name, help, value)?;
        }
        for (name, help, value) in [
            ("log_records", "Records appended", log.records),
            ("log_bytes", "Bytes appended", log.bytes),
            ("log_syncs", "Completed syncs", log.syncs),
        ] {
            page.counter(name, help, value)?;
        }
        let seconds = ConstCounter::new(log.sync_ns as f64 / 1e9);
        page.one("log_sync_seconds", "Time spent in syncs", MetricType::Counter, &seconds)
    }

    fn queues(&self, page: &mut Page<'_>) -> fmt::Result {
        type Read = fn(&QueueStats) -> u64;
        let gauges: [(&str, &str, Read); 3] = [
            ("queue_ready", "Messages waiting to be delivered", |queue| queue.ready),
            ("queue_held", "Messages in consumers' hands", |queue| queue.held),
            ("queue_delayed", "Messages waiting for their time", |queue| queue.delayed),
        ];
        let gauges = gauges.into_iter().take(if self.counts { 3 } else { 1 });
        for (name, help, read) in gauges {
            page.family(name, help, MetricType::Gauge, "queue", || {
                self.queues.iter().map(move |(queue, stats)| (queue.as_str(), ConstGauge::new(read(stats))))
            })?;
        }
        if !self.counts {
            return Ok(());
        }
        page.family(
            "queue_oldest_seconds",
            "Age of the oldest ready message",
            MetricType::Gauge,
            "queue",
            || {
                self.queues
                    .iter()
                    .map(|(queue, stats)| (queue.as_str(), ConstGauge::new(stats.oldest_ms as f64 / 1e3)))
            },
        )?;
        let counters: [(&str, &str, Read); 8] = [
            ("queue_published", "Messages taken in", |queue| queue.published),
            ("queue_delivered", "Deliveries handed out", |queue| queue.delivered),
            ("queue_acked", "Deliveries acknowledged", |queue| queue.acked),
            ("queue_retried", "Deliveries that failed and were scheduled again", |queue| queue.retried),
            ("queue_dead_lettered", "Messages that left as dead letters", |queue| queue.dead_lettered),
            ("queue_dropped", "Messages dropped at the length limit", |queue| queue.dropped),
            ("queue_repeated", "Messages not taken again", |queue| queue.repeated),
            ("queue_dedup_forgotten", "Dedup ids forgotten before their time", |queue| queue.dedup_forgotten),
        ];
        for (name, help, read) in counters {
            page.family(name, help, MetricType::Counter, "queue", || {
                self.queues.iter().map(move |(queue, stats)| (queue.as_str(), ConstCounter::new(read(stats))))
            })?;
        }
        Ok(())
    }
}

/// The page as it is written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn one(&mut self, name: &str, help: &str, kind: MetricType, metric: &impl EncodeMetric) -> fmt::Result {
        metric.encode(self.0.encode_descriptor(name, help, None, kind)?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.one(name, help, MetricType::Gauge, &ConstGauge::new(value))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.one(name, help, MetricType::Counter, &ConstCounter::new(value))
    }

    /// One metric for each label. A family of nobody is left out: its head alone would be noise.
    fn family<'l, M, I>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        label: &str,
        members: impl Fn() -> I,
    ) -> fmt::Result
    where
        M: EncodeMetric,
        I: Iterator<Item = (&'l str, M)>,
    {
        if members().next().is_none() {
            return Ok(());
        }
        let mut family: MetricEncoder<'_> = self.0.encode_descriptor(name, help, None, kind)?;
        for (value, metric) in members() {
            let labels = [(label, value)];
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_core::queue::{QueueName, QueueSettings};

    #[test]
    fn queues_beyond_the_limit_are_summed_up_under_one_label() {
        let queues = |count: usize| {
            let queue = |number| QueueInfo {
                settings: QueueSettings::new(QueueName::new(&format!("q{number}")).unwrap()),
                stats: QueueStats { ready: 1, oldest_ms: number as u64, ..QueueStats::default() },
                paused: false,
            };
            labelled((0..count).map(queue).collect())
        };
        assert_eq!(queues(limits::http::METRICS_QUEUES_MAX).len(), limits::http::METRICS_QUEUES_MAX);
        let labelled = queues(limits::http::METRICS_QUEUES_MAX + 5);
        assert_eq!(labelled.len(), limits::http::METRICS_QUEUES_MAX + 1);
        let (label, others) = labelled.last().unwrap();
        assert_eq!((label.as_str(), others.ready), (OTHERS, 5));
        assert_eq!(others.oldest_ms, limits::http::METRICS_QUEUES_MAX as u64 + 4);
    }
}

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use driftless_model::Clock;
use serde_json::{Map, Value, json};

use crate::Stage;

/// Every metric that the product writes. The name ends in its unit; dimensions are bounded: a stage, a function, a kind of
/// destination, an outcome. Each set of them is a metric that is billed, so few have more than the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric<'a> {
    /// Snapshots that brought a log version.
    SnapshotsTakenUp,
    /// Snapshots that changed nothing, or came too late.
    SnapshotsWithoutChange,
    /// Snapshots that were refused.
    SnapshotsRejected,
    /// Changed records logged.
    ChangesLogged,
    /// Records of a snapshot that a rule refused.
    RecordsInvalid,
    /// Runs planned.
    RunsPlanned,
    /// Ticks that found nothing to send.
    RunsEmpty,
    /// Records by what became of them.
    Records {
        /// Kind of destination.
        kind: &'a str,
        /// What became of them.
        outcome: DeliveryOutcome,
    },
    /// Requests made to destinations.
    Requests {
        /// Kind of destination.
        kind: &'a str,
    },
    /// Runs that were parked.
    RunsParked {
        /// Kind of destination.
        kind: &'a str,
    },
    /// Runs committed.
    RunsCommitted,
    /// Runs that ended below their success threshold. Alarmed.
    RunsFailed,
    /// Syncs of which a guard holds something, now. Alarmed.
    SyncsHeld,
    /// Syncs that wait for a person, now. Alarmed.
    SyncsNeedingAttention,
    /// Messages put aside.
    MessagesRejected,
    /// Messages that will be delivered again.
    MessagesFailed,
}

/// What became of a record at its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// Acknowledged.
    Delivered,
    /// Refused for good.
    Rejected,
    /// Sent, without an answer.
    Unknown,
    /// Not sent: erased or on a suppression list.
    Suppressed,
}

impl DeliveryOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Suppressed => "suppressed",
        }
    }
}

impl<'a> Metric<'a> {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SnapshotsTakenUp => "snapshots_taken_up_count",
            Self::SnapshotsWithoutChange => "snapshots_without_change_count",
            Self::SnapshotsRejected => "snapshots_rejected_count",
            Self::ChangesLogged => "changes_logged_count",
            Self::RecordsInvalid => "records_invalid_count",
            Self::RunsPlanned => "runs_planned_count",
            Self::RunsEmpty => "runs_empty_count",
            Self::Records { .. } => "records_count",
            Self::Requests { .. } => "requests_count",
            Self::RunsParked { .. } => "runs_parked_count",
            Self::RunsCommitted => "runs_committed_count",
            Self::RunsFailed => "runs_failed_count",
            Self::SyncsHeld => "syncs_held_count",
            Self::SyncsNeedingAttention => "syncs_needing_attention_count",
            Self::MessagesRejected => "messages_rejected_count",
            Self::MessagesFailed => "messages_failed_count",
        }
    }

    /// Its dimensions beside the stage.
    fn dimensions(&self, function: &'a str) -> Vec<(&'static str, &'a str)> {
        match *self {
            Self::Records { kind, outcome } => vec![("destination_kind", kind), ("outcome", outcome.as_str())],
            Self::Requests { kind } | Self::RunsParked { kind } => vec![("destination_kind", kind)],
            Self::MessagesRejected | Self::MessagesFailed => vec![("function", function)],
            _ => vec![],
        }
    }
}

/// Writes metrics as lines of the embedded metric format, in the namespace `Driftless`
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
pub struct Metrics {
    stage: Stage,
    function: &'static str,
    clock: Arc<dyn Clock>,
    out: Mutex<Box<dyn Write + Send>>,
}

impl Metrics {
    /// Written to `out`.
    pub fn new(stage: Stage, function: &'static str, clock: Arc<dyn Clock>, out: impl Write + Send + 'static) -> Self {
        Self { stage, function, clock, out: Mutex::new(Box::new(out)) }
    }

    /// Written to the standard output, where Lambda collects them.
    pub fn to_stdout(stage: Stage, function: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self::new(stage, function, clock, std::io::stdout())
    }

    /// Writes one value. Telemetry never fails the work: what cannot be written is dropped.
    pub fn put(&self, metric: Metric<'_>, value: u64) {
        let mut line = self.line(metric, value).to_string();
        line.push('\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // One write a line, so that lines of other writers do not run into it.
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            tracing::debug!(metric = metric.name(), "a metric could not be written");
        }
    }

    fn line(&self, metric: Metric<'_>, value: u64) -> Value {
        let name = metric.name();
        let mut dimensions = vec![("stage", self.stage.as_str())];
        dimensions.extend(metric.dimensions(self.function));
        let names: Vec<_> = dimensions.iter().map(|(name, _)| *name).collect();
        let mut line = Map::new();
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": self.clock.now().0,
                "CloudWatchMetrics": [{
                    "Namespace": "Driftless",
                    "Dimensions": [names],
                    "Metrics": [{"Name": name, "Unit": "Count"}],
                }],
            }),
        );
        for (dimension, value) in dimensions {
            line.insert(dimension.to_owned(), value.into());
        }
        line.insert(name.to_owned(), value.into());
        Value::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use driftless_model::Millis;

    use super::*;

    struct At;
    impl Clock for At {
        fn now(&self) -> Millis {
            Millis(1_767_600_000_000)
        }
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_the_form_that_cloudwatch_reads() {
        let out = Shared::default();
        let metrics = Metrics::new(Stage::default(), "connector", Arc::new(At), out.clone());
        metrics.put(Metric::RunsFailed, 1);
        metrics.put(Metric::Records { kind: "rest", outcome: DeliveryOutcome::Delivered }, 500);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                concat!(
                    r#"{"_aws":{"Timestamp":1767600000000,"CloudWatchMetrics":[{"Namespace":"Driftless","#,
                    r#""Dimensions":[["stage"]],"Metrics":[{"Name":"runs_failed_count","Unit":"Count"}]}]},"#,
                    r#""stage":"dev","runs_failed_count":1}"#
                ),
                concat!(
                    r#"{"_aws":{"Timestamp":1767600000000,"CloudWatchMetrics":[{"Namespace":"Driftless","#,
                    r#""Dimensions":[["stage","destination_kind","outcome"]],"#,
                    r#""Metrics":[{"Name":"records_count","Unit":"Count"}]}]},"#,
                    r#""stage":"dev","destination_kind":"rest","outcome":"delivered","records_count":500}"#
                ),
            ]
        );
    }
}

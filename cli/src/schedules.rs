//! The schedules of the syncs: one of `EventBridge` Scheduler each, in the group of the stage, named after the sync.

use anyhow::Context;
use async_trait::async_trait;
use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::error::ProvideErrorMetadata;
use aws_sdk_scheduler::types::{DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target};
use driftless_config::Schedule;
use driftless_delivery::Message;
use driftless_model::SyncId;
use driftless_runtime::Stage;

use crate::session::Place;

/// What a schedule does and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// `cron(…)` or `rate(…)`.
    pub(crate) expression: String,
    /// IANA name.
    pub(crate) time_zone: String,
    /// ARN of the planner's queue.
    pub(crate) target: String,
    /// ARN of the queue for ticks that could not be sent.
    pub(crate) dead_letters: String,
    /// ARN of the role that may send.
    pub(crate) role: String,
    /// The message.
    pub(crate) input: String,
}

/// Scheduler puts the time of the tick here
/// (<https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html>), so that a tick that
/// is sent twice is the same tick (protocol rule 15).
const SCHEDULED_TIME: &str = "<aws.scheduler.scheduled-time>";

/// The rule of a sync; none where it does not go by a clock.
pub(crate) fn rule(sync: &SyncId, schedule: &Schedule, stage: &Stage, place: &Place) -> Option<Rule> {
    let Schedule::Clock(clock) = schedule else { return None };
    let tick = Message::Plan {
        sync: sync.clone(),
        tick: SCHEDULED_TIME.to_owned(),
        cause: "schedule".to_owned(),
        after_ingest: false,
    };
    let queue = stage.part("planner");
    Some(Rule {
        expression: clock.at.aws(),
        time_zone: clock.time_zone.as_str().to_owned(),
        target: place.queue(&queue),
        dead_letters: place.queue(&format!("{queue}-dlq")),
        role: place.role(&stage.scheduler_role()),
        input: tick.to_body(),
    })
}

/// The rule by which a sync's list is compared; none where that is done by hand.
pub(crate) fn comparing_rule(sync: &SyncId, schedule: &Schedule, stage: &Stage, place: &Place) -> Option<Rule> {
    let tick = Message::Compare {
        sync: sync.clone(),
        // Another name than that of the tick that plans at the same time.
        tick: format!("compare-{SCHEDULED_TIME}"),
        cause: "schedule".to_owned(),
        dry_run: false,
    };
    rule(sync, schedule, stage, place).map(|rule| Rule { input: tick.to_body(), ..rule })
}

/// The name of that rule. Names of syncs have no dots, and are short enough for it.
pub(crate) fn comparing(sync: &SyncId) -> String {
    format!("{sync}.cmp")
}

/// Where schedules are kept.
#[async_trait]
pub(crate) trait Schedules: Send + Sync {
    /// The rule of a schedule.
    async fn get(&self, name: &str) -> anyhow::Result<Option<Rule>>;
    /// Creates (`exists`: changes) a schedule. Repeatable.
    async fn put(&self, name: &str, rule: &Rule, exists: bool) -> anyhow::Result<()>;
    /// Deletes a schedule. Deleting what is not there succeeds.
    async fn delete(&self, name: &str) -> anyhow::Result<()>;
}

/// `EventBridge` Scheduler.
pub(crate) struct EventBridge {
    client: Client,
    group: String,
}

impl EventBridge {
    pub(crate) fn new(client: Client, group: String) -> Self {
        Self { client, group }
    }
}

/// A tick is worth sending for an hour; after that the next one, or a person, is nearer.
const EVENT_AGE_SECONDS: i32 = 3_600;
const ATTEMPTS: i32 = 10;

#[async_trait]
impl Schedules for EventBridge {
    async fn get(&self, name: &str) -> anyhow::Result<Option<Rule>> {
        let answer = self.client.get_schedule().group_name(&self.group).name(name).send().await;
        let found = match answer {
            Ok(found) => found,
            Err(e) if e.code() == Some("ResourceNotFoundException") => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("schedule {name} cannot be read")),
        };
        let target = found.target();
        let text = |s: Option<&str>| s.unwrap_or_default().to_owned();
        Ok(Some(Rule {
            expression: text(found.schedule_expression()),
            time_zone: found.schedule_expression_timezone().unwrap_or("UTC").to_owned(),
            target: text(target.map(Target::arn)),
            dead_letters: text(target.and_then(Target::dead_letter_config).and_then(DeadLetterConfig::arn)),
            role: text(target.map(Target::role_arn)),
            input: text(target.and_then(Target::input)),
        }))
    }

    async fn put(&self, name: &str, rule: &Rule, exists: bool) -> anyhow::Result<()> {
        let retry =
            RetryPolicy::builder().maximum_event_age_in_seconds(EVENT_AGE_SECONDS).maximum_retry_attempts(ATTEMPTS);
        let target = Target::builder()
            .arn(&rule.target)
            .role_arn(&rule.role)
            .input(&rule.input)
            .dead_letter_config(DeadLetterConfig::builder().arn(&rule.dead_letters).build())
            .retry_policy(retry.build())
            .build()?;
        let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build()?;
        let failed = || format!("schedule {name} cannot be written to group {}", self.group);
        if exists {
            let update = self.client.update_schedule().group_name(&self.group).name(name);
            let update = update.schedule_expression(&rule.expression).schedule_expression_timezone(&rule.time_zone);
            update.flexible_time_window(window).target(target).send().await.with_context(failed)?;
        } else {
            let create = self.client.create_schedule().group_name(&self.group).name(name);
            let create = create.schedule_expression(&rule.expression).schedule_expression_timezone(&rule.time_zone);
            create.flexible_time_window(window).target(target).send().await.with_context(failed)?;
        }
        Ok(())
    }

    async fn delete(&self, name: &str) -> anyhow::Result<()> {
        match self.client.delete_schedule().group_name(&self.group).name(name).send().await {
            Err(e) if e.code() == Some("ResourceNotFoundException") => Ok(()),
            other => other.map(|_| ()).with_context(|| format!("schedule {name} cannot be deleted")),
        }
    }
}

/// Schedules in memory, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct MemorySchedules(pub(crate) std::sync::Mutex<std::collections::BTreeMap<String, Rule>>);

#[cfg(test)]
#[async_trait]
impl Schedules for MemorySchedules {
    async fn get(&self, name: &str) -> anyhow::Result<Option<Rule>> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }
    async fn put(&self, name: &str, rule: &Rule, exists: bool) -> anyhow::Result<()> {
        let before = self.0.lock().unwrap().insert(name.to_owned(), rule.clone());
        assert_eq!(before.is_some(), exists, "Scheduler tells creating from changing");
        Ok(())
    }
    async fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_asks_the_planner_under_the_time_of_its_tick() {
        let place = Place { partition: "aws".into(), region: "eu-central-1".into(), account: "123456789012".into() };
        let schedule: Schedule = serde_json::from_str(r#"{"at":"daily","time_zone":"Europe/Berlin"}"#).unwrap();
        let sync = "crm".parse().unwrap();
        let rule = rule(&sync, &schedule, &Stage::default(), &place).unwrap();
        assert_eq!((rule.expression.as_str(), rule.time_zone.as_str()), ("cron(0 3 * * ? *)", "Europe/Berlin"));
        assert_eq!(rule.target, "arn:aws:sqs:eu-central-1:123456789012:driftless-dev-planner");
        assert_eq!(rule.role, "arn:aws:iam::123456789012:role/driftless-dev-scheduler");
        assert!(rule.input.contains(r#""tick":"<aws.scheduler.scheduled-time>""#), "{}", rule.input);
        let manual: Schedule = serde_json::from_str(r#""manual""#).unwrap();
        assert_eq!(super::rule(&sync, &manual, &Stage::default(), &place), None);
    }
}

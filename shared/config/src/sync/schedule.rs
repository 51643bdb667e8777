use core::{fmt, str::FromStr};
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use serde_json::{Value, json};

use super::cron::{self, InvalidCron};
use crate::value::HumanDuration;

/// When runs are planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// By a clock.
    Clock(ClockSchedule),
    /// By the changes that snapshots bring.
    OnChange(OnChange),
    /// Only when somebody asks for it.
    Manual,
}

/// Runs at times of a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockSchedule {
    /// `hourly` (at minute 0), `daily` (at 03:00), `weekly` (Monday at 03:00), or an expression of EventBridge Scheduler:
    /// `rate(12 hours)`, `cron(0 6 ? * MON-FRI *)`.
    pub at: ScheduleExpression,
    /// The time zone of the times of day, an IANA name such as `Europe/Berlin`.
    #[serde(default)]
    pub time_zone: TimeZoneName,
}

/// Runs because of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnChange {
    /// A run is planned as soon as so many changes wait.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub min_changes: u64,
    /// A run is planned when a change has waited so long, however few there are.
    #[serde(default = "a_day")]
    pub max_wait: HumanDuration,
}

const fn one() -> u64 {
    1
}

const fn a_day() -> HumanDuration {
    HumanDuration::from_secs(86_400)
}

/// Times of a clock, by a word or by an expression of EventBridge Scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ScheduleExpression {
    /// Every hour, at minute 0.
    Hourly,
    /// Every day at 03:00.
    Daily,
    /// Every Monday at 03:00.
    Weekly,
    /// Every so many minutes, hours or days.
    Rate {
        /// How many, at least one.
        every: u32,
        /// Of which unit.
        unit: RateUnit,
    },
    /// The six fields of a cron expression, checked.
    Cron(String),
}

/// A unit that `rate(…)` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateUnit {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
}

/// Text that says no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// None of the known forms.
    #[error(
        "`{text}` is not a schedule; write weekly, daily, hourly, manual, rate(12 hours), cron(0 3 ? * MON *), or a map with `at` or `on_change`"
    )]
    Form {
        /// What was written.
        text: String,
    },
    /// `rate(…)` without a number and a unit.
    #[error(
        "`{text}` is not a rate; write a whole number from 1 and minutes, hours or days, for example rate(12 hours)"
    )]
    Rate {
        /// What was written.
        text: String,
    },
    /// `cron(…)` that Scheduler would refuse.
    #[error(transparent)]
    Cron(#[from] InvalidCron),
}

impl ScheduleExpression {
    /// The expression as `CreateSchedule` of EventBridge Scheduler takes it.
    #[must_use]
    pub fn aws(&self) -> String {
        match self {
            Self::Hourly => "cron(0 * * * ? *)".to_owned(),
            Self::Daily => "cron(0 3 * * ? *)".to_owned(),
            Self::Weekly => "cron(0 3 ? * MON *)".to_owned(),
            Self::Rate { .. } | Self::Cron(_) => self.to_string(),
        }
    }
}

impl FromStr for ScheduleExpression {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let said = || text.chars().take(60).collect::<String>();
        let text = text.trim();
        let inside = |name: &str| text.strip_prefix(name).and_then(|t| t.strip_suffix(')'));
        match text {
            "hourly" => Ok(Self::Hourly),
            "daily" => Ok(Self::Daily),
            "weekly" => Ok(Self::Weekly),
            _ => {
                if let Some(rate) = inside("rate(") {
                    return parse_rate(rate).ok_or_else(|| InvalidSchedule::Rate { text: said() });
                }
                let fields = inside("cron(").ok_or_else(|| InvalidSchedule::Form { text: said() })?;
                Ok(Self::Cron(cron::check(fields)?))
            }
        }
    }
}

fn parse_rate(text: &str) -> Option<ScheduleExpression> {
    let (every, unit) = text.trim().split_once(' ')?;
    let every: u32 = every.parse().ok().filter(|n| *n >= 1)?;
    let unit = match unit.trim() {
        "minute" | "minutes" => RateUnit::Minute,
        "hour" | "hours" => RateUnit::Hour,
        "day" | "days" => RateUnit::Day,
        _ => return None,
    };
    Some(ScheduleExpression::Rate { every, unit })
}

impl fmt::Display for ScheduleExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hourly => f.write_str("hourly"),
            Self::Daily => f.write_str("daily"),
            Self::Weekly => f.write_str("weekly"),
            Self::Cron(fields) => write!(f, "cron({fields})"),
            Self::Rate { every, unit } => {
                let unit = match unit {
                    RateUnit::Minute => "minute",
                    RateUnit::Hour => "hour",
                    RateUnit::Day => "day",
                };
                // Singular after 1, plural otherwise: the only forms that every AWS service with rates takes.
                write!(f, "rate({every} {unit}{})", if *every == 1 { "" } else { "s" })
            }
        }
    }
}

impl TryFrom<String> for ScheduleExpression {
    type Error = InvalidSchedule;

    fn try_from(text: String) -> Result<Self, InvalidSchedule> {
        text.parse()
    }
}

impl From<ScheduleExpression> for String {
    fn from(expression: ScheduleExpression) -> Self {
        expression.to_string()
    }
}

/// The IANA name of a time zone that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZoneName(String);

/// A name that no time zone has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a time zone; write an IANA name such as UTC or Europe/Berlin")]
pub struct UnknownTimeZone {
    name: String,
}

impl TimeZoneName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TimeZoneName {
    fn default() -> Self {
        Self("UTC".to_owned())
    }
}

impl TryFrom<String> for TimeZoneName {
    type Error = UnknownTimeZone;

    fn try_from(name: String) -> Result<Self, UnknownTimeZone> {
        match jiff::tz::TimeZone::get(&name) {
            // The database's own spelling: its look-up ignores case, AWS's does not.
            Ok(zone) => Ok(Self(zone.iana_name().map_or(name, str::to_owned))),
            Err(_) => Err(UnknownTimeZone { name: name.chars().take(40).collect() }),
        }
    }
}

impl From<TimeZoneName> for String {
    fn from(zone: TimeZoneName) -> Self {
        zone.0
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Clock(ClockSchedule { at: ScheduleExpression::Weekly, time_zone: TimeZoneName::default() })
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Clock(clock) => clock.serialize(s),
            Self::OnChange(on_change) => {
                let mut map = s.serialize_map(Some(1))?;
                map.serialize_entry("on_change", on_change)?;
                map.end()
            }
            Self::Manual => s.serialize_str("manual"),
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        /// The keys of both map forms; one form is chosen by the keys that are there.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Keys {
            at: Option<ScheduleExpression>,
            time_zone: Option<TimeZoneName>,
            on_change: Option<OnChange>,
        }

        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Schedule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a schedule such as `weekly`, or a map with `at` or `on_change`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Schedule, E> {
                if text == "manual" {
                    return Ok(Schedule::Manual);
                }
                let at = text.parse().map_err(E::custom)?;
                Ok(Schedule::Clock(ClockSchedule { at, time_zone: TimeZoneName::default() }))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Schedule, A::Error> {
                match Keys::deserialize(de::value::MapAccessDeserializer::new(map))? {
                    Keys { at: Some(at), time_zone, on_change: None } => {
                        Ok(Schedule::Clock(ClockSchedule { at, time_zone: time_zone.unwrap_or_default() }))
                    }
                    Keys { at: None, time_zone: None, on_change: Some(on_change) } => Ok(Schedule::OnChange(on_change)),
                    _ => Err(de::Error::custom(
                        "a schedule goes by a clock or by changes; write either `at` (and `time_zone`) or `on_change`",
                    )),
                }
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for ScheduleExpression {
    fn schema_name() -> Cow<'static, str> {
        "ScheduleExpression".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "enum": ["weekly", "daily", "hourly"] },
                { "type": "string", "title": "rate(12 hours)", "pattern": "^ *rate\\(.+\\) *$" },
                { "type": "string", "title": "cron(0 3 ? * MON *)", "pattern": "^ *cron\\(.+\\) *$" }
            ]
        })
    }
}

impl JsonSchema for TimeZoneName {
    fn schema_name() -> Cow<'static, str> {
        "TimeZone".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "time zone", "examples": ["Europe/Berlin"] })
    }
}

impl JsonSchema for Schedule {
    fn schema_name() -> Cow<'static, str> {
        "Schedule".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // The keys of both map forms in one map, so that an editor offers them all.
        let mut keys = ClockSchedule::json_schema(generator);
        keys.remove("required");
        keys.insert("minProperties".to_owned(), 1.into());
        keys.insert("description".to_owned(), "Either `at`, with or without `time_zone`, or `on_change`.".into());
        let on_change = generator.subschema_for::<OnChange>();
        if let Some(properties) = keys.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert(
                "on_change".to_owned(),
                json!({ "description": "Runs because of changes.", "allOf": [on_change] }),
            );
        }
        json_schema!({
            "anyOf": [
                { "const": "manual", "description": "Only when somebody asks for it." },
                generator.subschema_for::<ScheduleExpression>(),
                keys
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Schedule, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn each_form_reads_back_from_what_it_serialises_to() {
        for json in [
            r#""manual""#,
            r#""weekly""#,
            r#""rate(1 hours)""#,
            r#""cron(0 6 ? * mon-fri *)""#,
            r#"{"at":"daily","time_zone":"europe/berlin"}"#,
            r#"{"on_change":{"min_changes":500}}"#,
            r#"{"on_change":{"max_wait":"2h"}}"#,
        ] {
            let schedule = read(json).expect(json);
            let written = serde_json::to_string(&schedule).expect("serialises");
            assert_eq!(read(&written), Ok(schedule), "{written}");
        }
    }

    #[test]
    fn words_become_fixed_times_and_a_rate_of_one_is_singular() {
        let aws = |text: &str| text.parse::<ScheduleExpression>().map(|e| e.aws());
        assert_eq!(aws("weekly"), Ok("cron(0 3 ? * MON *)".into()));
        assert_eq!(aws("rate(1 hours)"), Ok("rate(1 hour)".into()));
        assert_eq!(aws("rate(2 hour)"), Ok("rate(2 hours)".into()));
        assert_eq!(aws("cron(0  6 ? * mon *)"), Ok("cron(0 6 ? * MON *)".into()));
        for bad in ["", "monthly", "rate(0 days)", "rate(1 week)", "rate(1.5 hours)", "rate(days)", "cron(0 3 * * *)"] {
            assert!(aws(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_clock_and_changes_together_are_refused() {
        for bad in [
            r#"{"at":"weekly","on_change":{}}"#,
            r#"{"time_zone":"UTC","on_change":{}}"#,
            r#"{"time_zone":"UTC"}"#,
            r#"{"at":"weekly","time_zone":"Mars/Olympus"}"#,
            r#"{"at":"manual"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

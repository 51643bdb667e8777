use driftless_model::{DatasetId, Operation, RunId, SyncId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Malformed, Outgoing};

/// The version that is written. Older ones stay readable; a newer one is refused, because a field that we do not know may
/// change what the known ones mean.
const VERSION: u32 = 1;

/// What one function asks of another. Names and numbers only: no record value travels in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// To ingest: list the dataset's prefix and take up the newest snapshot not seen yet.
    Ingest {
        /// The dataset.
        dataset: DatasetId,
        /// Only for this sync; without it, for every sync of the dataset.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sync: Option<SyncId>,
        /// What asks: `apply`, a tick, a person.
        cause: String,
        /// Ask for a plan afterwards, whatever was found, under this tick.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        then_plan: Option<String>,
    },
    /// To the planner: plan a run if there is something to send.
    Plan {
        /// The sync.
        sync: SyncId,
        /// Names the tick; the same tick plans once (protocol rule 15).
        tick: String,
        /// What asks: the schedule, a change, a person.
        cause: String,
        /// Ingest has looked for the newest snapshot already.
        #[serde(default, skip_serializing_if = "is_false")]
        after_ingest: bool,
    },
    /// To a connector: send the rows of one call. Everything but the run and the number repeats the ledger, which wins.
    Call {
        /// The sync.
        sync: SyncId,
        /// The run.
        run: RunId,
        /// The call's number within the run.
        number: u32,
        /// What it asks of the destination.
        operation: Operation,
        /// First row of the changeset.
        first_row: u64,
        /// Rows.
        rows: u32,
        /// Object key of the changeset.
        changeset: String,
    },
    /// To a connector: retire the old lists that the head of the sync names and that are at its destination.
    Retire {
        /// The sync.
        sync: SyncId,
    },
    /// To the janitor: commit what has settled and repair what a crash left.
    Sweep {
        /// Only this sync; without it, every sync.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sync: Option<SyncId>,
        /// The run that settled, where one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde calls
fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Serialize)]
struct Envelope<'m> {
    v: u32,
    #[serde(flatten)]
    message: &'m Message,
}

impl Message {
    /// The kind's name on the wire.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ingest { .. } => "ingest",
            Self::Plan { .. } => "plan",
            Self::Call { .. } => "call",
            Self::Retire { .. } => "retire",
            Self::Sweep { .. } => "sweep",
        }
    }

    /// The body as it travels. Equal messages have equal bodies.
    ///
    /// # Panics
    /// Never: names, numbers and texts are always representable in JSON.
    #[must_use]
    pub fn to_body(&self) -> String {
        serde_json::to_string(&Envelope { v: VERSION, message: self }).expect("representable in JSON")
    }

    /// The message of a body.
    ///
    /// # Errors
    /// [`Malformed`]: reject the record; it will never be readable.
    pub fn parse(body: &str) -> Result<Self, Malformed> {
        match serde_json::from_str(body) {
            Ok(Value::Object(object)) => Self::from_object(object),
            _ => Err(Malformed::NotJson),
        }
    }

    pub(crate) fn from_object(mut object: Map<String, Value>) -> Result<Self, Malformed> {
        match object.remove("v").as_ref().and_then(Value::as_u64) {
            None | Some(0) => return Err(Malformed::Unrecognised),
            Some(found) if found > u64::from(VERSION) => {
                return Err(Malformed::NewerVersion { found, known: VERSION });
            }
            Some(_) => {}
        }
        let kind = match object.get("kind").and_then(Value::as_str) {
            Some("ingest") => "ingest",
            Some("plan") => "plan",
            Some("call") => "call",
            Some("retire") => "retire",
            Some("sweep") => "sweep",
            _ => return Err(Malformed::UnknownKind),
        };
        serde_json::from_value(Value::Object(object)).map_err(|_| Malformed::Shape { kind })
    }
}

impl From<&Message> for Outgoing {
    /// Sent at once, in the fair-queue group of its sync.
    fn from(message: &Message) -> Self {
        let group = match message {
            Message::Plan { sync, .. } | Message::Call { sync, .. } | Message::Retire { sync } => {
                Some(sync.to_string())
            }
            Message::Ingest { dataset, .. } => Some(dataset.tenant().to_string()),
            Message::Sweep { sync, .. } => sync.as_ref().map(ToString::to_string),
        };
        Self { body: message.to_body(), delay_s: 0, group }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(Message, &'static str)> {
        let sync: SyncId = "newsletter".parse().unwrap();
        vec![
            (
                Message::Ingest {
                    dataset: "acme/customers".parse().unwrap(),
                    sync: Some(sync.clone()),
                    cause: "apply".into(),
                    then_plan: None,
                },
                r#"{"v":1,"kind":"ingest","dataset":"acme/customers","sync":"newsletter","cause":"apply"}"#,
            ),
            (
                Message::Ingest {
                    dataset: "acme/customers".parse().unwrap(),
                    sync: None,
                    cause: "schedule".into(),
                    then_plan: Some("t1".into()),
                },
                r#"{"v":1,"kind":"ingest","dataset":"acme/customers","cause":"schedule","then_plan":"t1"}"#,
            ),
            (
                Message::Plan {
                    sync: sync.clone(),
                    tick: "2026-01-05T06:00:00Z".into(),
                    cause: "schedule".into(),
                    after_ingest: false,
                },
                r#"{"v":1,"kind":"plan","sync":"newsletter","tick":"2026-01-05T06:00:00Z","cause":"schedule"}"#,
            ),
            (
                Message::Call {
                    sync: sync.clone(),
                    run: RunId::new("1-01K"),
                    number: 3,
                    operation: Operation::Add,
                    first_row: 1500,
                    rows: 500,
                    changeset: "changesets/newsletter/1-01K.parquet".into(),
                },
                concat!(
                    r#"{"v":1,"kind":"call","sync":"newsletter","run":"1-01K","number":3,"operation":"add","#,
                    r#""first_row":1500,"rows":500,"changeset":"changesets/newsletter/1-01K.parquet"}"#
                ),
            ),
            (Message::Retire { sync: sync.clone() }, r#"{"v":1,"kind":"retire","sync":"newsletter"}"#),
            (
                Message::Sweep { sync: Some(sync), run: Some(RunId::new("1-01K")) },
                r#"{"v":1,"kind":"sweep","sync":"newsletter","run":"1-01K"}"#,
            ),
            (Message::Sweep { sync: None, run: None }, r#"{"v":1,"kind":"sweep"}"#),
        ]
    }

    /// The wire form of version 1: messages like these may lie in queues while the functions are upgraded.
    #[test]
    fn the_wire_form_is_stable_both_ways() {
        for (message, body) in all() {
            assert_eq!(message.to_body(), body);
            assert_eq!(Message::parse(body).as_ref(), Ok(&message));
        }
    }

    #[test]
    fn a_field_more_does_no_harm() {
        let body = r#"{"v":1,"kind":"sweep","later":[1,2]}"#;
        assert_eq!(Message::parse(body), Ok(Message::Sweep { sync: None, run: None }));
    }

    #[test]
    fn what_cannot_be_read_says_why_without_its_content() {
        let cases = [
            ("", Malformed::NotJson),
            ("[1]", Malformed::NotJson),
            ("{\"v\":1,", Malformed::NotJson),
            ("{}", Malformed::Unrecognised),
            (r#"{"v":"1","kind":"sweep"}"#, Malformed::Unrecognised),
            (r#"{"v":2,"kind":"sweep"}"#, Malformed::NewerVersion { found: 2, known: 1 }),
            (r#"{"v":1,"kind":"anna@example.com"}"#, Malformed::UnknownKind),
            (r#"{"v":1,"kind":"plan","sync":"A!","tick":"t","cause":"c"}"#, Malformed::Shape { kind: "plan" }),
            (r#"{"v":1,"kind":"call","sync":"a"}"#, Malformed::Shape { kind: "call" }),
        ];
        for (body, why) in cases {
            assert_eq!(Message::parse(body), Err(why.clone()), "{body}");
            assert!(!why.to_string().contains("anna"));
        }
    }
}

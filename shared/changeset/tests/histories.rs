//! The pure core over random histories of one list: snapshots, runs that get only half-way, lost answers, rejections,
//! shared and changing identifiers, holds, erasures, new configurations, commits with and without a fold, bulk versions at random
//! thresholds and compactions; of records that a key identifies, and of rows that only their content does.
//!
//! Checked at every step: DL-2, DL-3, DL-4, DL-5, DL-8, DL-10. Once faults stop: DL-1 and DL-6. Nothing of an older plan
//! follows a newer one (DL-7), because D is the newest snapshot's after every commit, whenever it comes.

#[path = "histories/destination.rs"]
mod destination;
#[path = "histories/world.rs"]
mod world;

use driftless_model::{AttrHash, Identifier, IdentifierSet, KeyHash, RecordKey, RecordState};
use proptest::prelude::*;

use world::{Fate, Records, World};

const KEYS: u128 = 5;

#[derive(Clone, Debug)]
enum Step {
    Upload(Vec<Option<(u8, u8, u8)>>),
    Plan,
    Attempt(usize, Fate),
    Commit { lazily: bool },
    Refuse(u8, u8),
    Accept,
    Approve,
    Release,
    Erase(u8),
    Reconfigure,
    Compact,
}

/// `None`: a record has no value in this field. Some values are shared by all records.
fn value(field: &str, record: u128, choice: u8) -> Option<Identifier> {
    let value = match choice {
        0 => return None,
        1 | 2 => format!("{record}-{choice}"),
        3 => format!("{}-1", (record + 1) % KEYS),
        _ => "shared".to_owned(),
    };
    Some(Identifier::new(field, value))
}

/// What tells the records of a history apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    Key,
    /// Their content, and a number for equal ones, which share their identifiers.
    Content,
    /// The same, and the destination tells equal ones apart too.
    ContentAndNumber,
}

fn records(identity: Identity, rows: &[Option<(u8, u8, u8)>]) -> Records {
    if identity == Identity::Key { keyed(rows) } else { keyless(identity, rows) }
}

fn keyless(identity: Identity, rows: &[Option<(u8, u8, u8)>]) -> Records {
    let mut out = Records::new();
    for (attr, email, _) in rows.iter().flatten() {
        // Few contents, so that rows are equal.
        let email = email % 2;
        let content = u128::from(attr + 2 * email);
        let numbers = (0..8).map(|number| KeyHash(content * 8 + number));
        let Some(key) = numbers.into_iter().find(|key| !out.contains_key(key)) else { continue };
        let identifier = match identity {
            Identity::ContentAndNumber => Some(Identifier::new("row", key.0.to_string())),
            _ => value("email", content, 1 + email),
        };
        let attr_hash = AttrHash(u64::from(*attr) + 2 * u64::from(email) + 1);
        let key_text = RecordKey::new(format!("k{}", key.0));
        out.insert(key, RecordState { key: key_text, attr_hash, identifiers: identifier.into_iter().collect() });
    }
    out
}

fn keyed(rows: &[Option<(u8, u8, u8)>]) -> Records {
    let mut out = Records::new();
    for (k, row) in (0u128..).zip(rows) {
        let Some((attr, email, phone)) = row else { continue };
        let identifiers: IdentifierSet =
            [value("email", k, 1 + *email), value("phone", k, *phone)].into_iter().flatten().collect();
        // The fingerprint covers the identifiers, as every mapped field.
        let attr_hash = AttrHash(u64::from(*attr) + 10 * u64::from(*email) + 100 * u64::from(*phone) + 1);
        out.insert(KeyHash(k), RecordState { key: RecordKey::new(format!("k{k}")), attr_hash, identifiers });
    }
    out
}

fn row() -> impl Strategy<Value = Option<(u8, u8, u8)>> {
    prop::option::weighted(0.7, (0u8..2, prop_oneof![3 => 0u8..2, 1 => 2u8..4], prop_oneof![3 => 0u8..3, 1 => 3u8..5]))
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Answered),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::NeverArrived),
        1 => Just(Fate::Refused),
        1 => Just(Fate::HalfWay),
        1 => Just(Fate::DiedBefore),
        1 => Just(Fate::DiedAfter),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(row(), KEYS as usize).prop_map(Step::Upload),
        5 => Just(Step::Plan),
        10 => (0usize..4, fate()).prop_map(|(n, f)| Step::Attempt(n, f)),
        4 => any::<bool>().prop_map(|lazily| Step::Commit { lazily }),
        1 => (0u8..5, 1u8..5).prop_map(|(k, c)| Step::Refuse(k, c)),
        1 => Just(Step::Accept),
        1 => Just(Step::Approve),
        1 => Just(Step::Release),
        1 => (0u8..5).prop_map(Step::Erase),
        1 => Just(Step::Reconfigure),
        2 => Just(Step::Compact),
    ]
}

fn run((identity, bulk, steps): &History) -> World {
    let mut w = World::with_bulk(*bulk);
    for s in steps {
        match s {
            Step::Upload(rows) => w.upload(records(*identity, rows)),
            Step::Plan => w.plan(),
            Step::Attempt(n, f) => w.attempt(*n, *f),
            Step::Commit { lazily } => w.commit(*lazily),
            Step::Refuse(k, c) => {
                w.destination.refuses.extend(value("email", u128::from(*k), *c));
                w.destination.refuses.insert(Identifier::new("row", (k * c).to_string()));
            }
            Step::Accept => w.destination.refuses.clear(),
            Step::Approve => w.approve(),
            Step::Release => w.release(),
            Step::Erase(k) => w.erase(KeyHash(u128::from(*k))),
            Step::Reconfigure => w.reconfigure(),
            Step::Compact => w.compact(),
        }
    }
    w.quiesce();
    w
}

type History = (Identity, Option<usize>, Vec<Step>);

/// With the number of changes beyond which a version is a bulk version: never, always, or somewhere between.
fn histories() -> impl Strategy<Value = History> {
    let identity = prop_oneof![
        4 => Just(Identity::Key),
        1 => Just(Identity::Content),
        1 => Just(Identity::ContentAndNumber),
    ];
    let bulk = prop_oneof![2 => Just(None), 1 => Just(Some(0)), 3 => (1usize..8).prop_map(Some)];
    (identity, bulk, prop::collection::vec(step(), 1..60))
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(30_000))]

    #[test]
    fn every_history_converges_and_keeps_the_invariants_on_its_way(history in histories()) {
        run(&history);
    }
}

/// Each rule is there for a reason: without it some history breaks an invariant.
#[cfg(feature = "mutation")]
#[test]
fn without_any_one_of_the_rules_a_history_breaks_an_invariant() {
    use driftless_changeset::{Rule, switch_off, switch_on};
    use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

    let rules = [
        Rule::Uncertain,
        Rule::RejectionAfterUnsettled,
        Rule::IdentifierSet,
        Rule::SharedIdentifiers,
        Rule::Holds,
        Rule::HoldsOutliveBulk,
        Rule::Residue,
        Rule::CompactionBoundary,
        Rule::NewConfiguration,
    ];
    std::panic::set_hook(Box::new(|_| {}));
    let survived: Vec<Rule> = rules
        .into_iter()
        .filter(|rule| {
            switch_off(*rule);
            let config = ProptestConfig { max_shrink_iters: 0, ..config(20_000) };
            let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
            let kept = runner
                .run(&histories(), |history| {
                    drop(run(&history));
                    Ok(())
                })
                .is_ok();
            switch_on();
            kept
        })
        .collect();
    let _ = std::panic::take_hook();
    assert!(survived.is_empty(), "no history needs {survived:?}");
}

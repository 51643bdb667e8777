//! The suite that every kind of destination passes. A kind's tests bring a remote side that they control, and run
//! [`delivers`]; one that can also be told to fail runs [`withstands`].
//!
//! A case that fails panics with what was expected of whom.

use core::time::Duration;
use std::collections::BTreeSet;

use async_trait::async_trait;
use driftless_model::{Clock, Millis, Operation, Outcome};
use serde_json::Map;

use crate::{Connector, Driven, OutRow, Pacer, Stop, Work, drive};

/// What the suite works on.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The connector of a list that is empty.
    pub connector: &'a dyn Connector,
    /// The other side.
    pub remote: &'a dyn Remote,
    /// Waits; virtual time is enough.
    pub pacer: &'a dyn Pacer,
    /// The same time.
    pub clock: &'a dyn Clock,
    /// A record that the destination accepts, by its number.
    pub row: fn(u32) -> OutRow,
}

/// The list as the other side has it, and what goes wrong there.
#[async_trait]
pub trait Remote: Send + Sync {
    /// The members, by their first identifier.
    async fn members(&self) -> BTreeSet<String>;

    /// The next data request meets this; the one after it does not, but for [`Fault::Refuse`] and [`Fault::LoginGone`], which
    /// last until `None`.
    async fn inject(&self, fault: Option<Fault>);
}

/// What goes wrong on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The records with these identifiers are refused, each alone or the request as a whole.
    Refuse(BTreeSet<String>),
    /// Too many requests; come back after so many seconds.
    Throttle(Option<u64>),
    /// An error that does not say whether the request was applied; it was not.
    ServerError,
    /// The request is applied and the connection is cut.
    LoseAnswer,
    /// The login is refused.
    LoginGone,
}

/// Adds, updates and removes: empty, one, up to the limit, beyond it, twice.
pub async fn delivers(subject: Subject<'_>) {
    let limit = subject.limit();
    let nothing = subject.deliver(Operation::Add, &[]).await;
    assert_eq!((nothing.outcomes.len(), nothing.requests), (0, 0), "an empty call makes no request");

    for count in [1, limit, limit + 1] {
        let rows = subject.rows(0..count);
        subject.all_delivered(Operation::Add, &rows).await;
        subject.has(&rows).await;
    }
    let rows = subject.rows(0..=limit);
    subject.all_delivered(Operation::Add, &rows).await;
    subject.has(&rows).await;
    if subject.connector.capabilities().update.is_some() {
        subject.all_delivered(Operation::Update, &rows).await;
        subject.has(&rows).await;
    }
    if subject.connector.capabilities().remove.is_some() {
        let (gone, stay) = rows.split_at(rows.len() / 2);
        subject.all_delivered(Operation::Remove, &removals(gone)).await;
        subject.has(stay).await;
        // Who is gone already is not in the list, which is all that was asked.
        subject.all_delivered(Operation::Remove, &removals(gone)).await;
        subject.all_delivered(Operation::Remove, &removals(stay)).await;
        subject.has(&[]).await;
    }
}

/// Bad rows, throttles, lost answers, a login that is gone.
pub async fn withstands(subject: Subject<'_>) {
    let limit = subject.limit();
    let rows = subject.rows(0..=limit);
    for bad in [vec![0], vec![limit], (0..=limit).collect()] {
        let names: BTreeSet<String> = bad.iter().map(|n| name(&(subject.row)(*n))).collect();
        subject.remote.inject(Some(Fault::Refuse(names))).await;
        let driven = subject.deliver(Operation::Add, &rows).await;
        subject.remote.inject(None).await;
        let rejected: Vec<u32> = driven
            .outcomes
            .iter()
            .filter(|(_, row)| matches!(row.outcome, Outcome::Rejected { .. }))
            .map(|(number, _)| *number)
            .collect();
        assert_eq!((rejected, &driven.stop), (bad, &None), "only bad rows are rejected, and the call settles");
    }
    for fault in [Fault::Throttle(Some(3)), Fault::Throttle(None), Fault::ServerError, Fault::LoseAnswer] {
        subject.remote.inject(Some(fault.clone())).await;
        let driven = subject.deliver(Operation::Add, &rows).await;
        assert!(all(&driven, &Outcome::Delivered), "after {fault:?} the same call goes through: {:?}", driven.stop);
        subject.has(&rows).await;
    }
    if subject.connector.capabilities().remove.is_some() {
        subject.remote.inject(Some(Fault::LoseAnswer)).await;
        subject.all_delivered(Operation::Remove, &removals(&rows)).await;
        subject.has(&[]).await;
    }
    subject.remote.inject(Some(Fault::LoginGone)).await;
    let driven = subject.deliver(Operation::Add, &rows).await;
    subject.remote.inject(None).await;
    assert!(matches!(driven.stop, Some(Stop::Fatal { .. })), "a refused login stops the call: {:?}", driven.stop);
    assert!(all(&driven, &Outcome::Retry), "a refused login applies nothing");
    subject.all_delivered(Operation::Add, &rows).await;
}

impl Subject<'_> {
    fn limit(&self) -> u32 {
        self.connector.capabilities().add.map_or(1, |limits| limits.records.get())
    }

    fn rows(&self, numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, OutRow)> {
        numbers.into_iter().map(|number| (number, (self.row)(number))).collect()
    }

    async fn deliver(&self, operation: Operation, rows: &[(u32, OutRow)]) -> Driven {
        let timeout = Duration::from_secs(30);
        let work = Work {
            stop_before: self.clock.now().plus(600_000),
            request_timeout: timeout,
            ..Work::new(operation, rows, "conformance")
        };
        let driven = drive(self.connector, self.pacer, self.clock, work).await;
        let numbers: Vec<u32> = rows.iter().map(|(number, _)| *number).collect();
        assert!(driven.outcomes.keys().copied().eq(numbers), "every row has an outcome (DL-3)");
        driven
    }

    async fn all_delivered(&self, operation: Operation, rows: &[(u32, OutRow)]) {
        let driven = self.deliver(operation, rows).await;
        assert!(all(&driven, &Outcome::Delivered), "{operation} of {} rows: {:?}", rows.len(), driven.outcomes);
        assert_eq!(driven.stop, None::<Stop>);
    }

    async fn has(&self, rows: &[(u32, OutRow)]) {
        let wanted: BTreeSet<String> = rows.iter().map(|(_, row)| name(row)).collect();
        let found = self.remote.members().await;
        assert!(found == wanted, "the list has {} members, {} were wanted", found.len(), wanted.len());
    }
}

fn all(driven: &Driven, wanted: &Outcome) -> bool {
    driven.outcomes.values().all(|row| row.outcome == *wanted)
}

fn name(row: &OutRow) -> String {
    row.identifiers.iter().next().map(|identifier| identifier.value.clone()).unwrap_or_default()
}

fn removals(rows: &[(u32, OutRow)]) -> Vec<(u32, OutRow)> {
    rows.iter().map(|(number, row)| (*number, OutRow { fields: Map::new(), ..row.clone() })).collect()
}

/// Time that passes only when somebody waits for it; every slot is free at once.
#[derive(Debug, Default)]
pub struct VirtualTime(core::sync::atomic::AtomicI64);

impl Clock for VirtualTime {
    fn now(&self) -> Millis {
        Millis(self.0.load(core::sync::atomic::Ordering::SeqCst))
    }
}

#[async_trait]
impl Pacer for VirtualTime {
    async fn slot(&self) -> Result<Millis, crate::PacerError> {
        Ok(self.now())
    }

    async fn sleep_until(&self, at: Millis) {
        self.0.fetch_max(at.0, core::sync::atomic::Ordering::SeqCst);
    }
}

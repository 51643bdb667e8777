use core::time::Duration;
use std::collections::BTreeSet;

use driftless_model::{Operation, Outcome};

use super::{Fault, Refuses, Subject, removals};
use crate::{OutRow, Stop};

/// How long a request may take where the other side says nothing: long enough that one that is answered is answered in time.
const SHORT: Duration = Duration::from_secs(1);

/// Bad rows, throttles, lost, cut, slow, endless and senseless answers, a login and a list that are gone.
pub async fn withstands(subject: Subject<'_>) {
    let mut fresh = Fresh { subject, next: 0 };
    bad_rows(&mut fresh).await;
    for fault in subject.manners.passing() {
        passes(&mut fresh, &fault).await;
    }
    for fault in subject.manners.stopping() {
        stops(&mut fresh, &fault).await;
    }
}

/// People whom the list has never seen: what is found there afterwards came from this case.
struct Fresh<'a> {
    subject: Subject<'a>,
    next: u32,
}

impl Fresh<'_> {
    fn rows(&mut self) -> Vec<(u32, OutRow)> {
        let count = self.subject.few();
        let rows = self.subject.rows(self.next..self.next + count);
        self.next += count;
        rows
    }
}

/// The first, the last, some and all rows are bad: they are rejected, with a reason that is nobody's value, and no others.
async fn bad_rows(fresh: &mut Fresh<'_>) {
    let subject = fresh.subject;
    let last = subject.few() - 1;
    let mut cases = vec![vec![0], vec![last], vec![0, last], (0..=last).collect::<Vec<u32>>()];
    cases.dedup();
    for bad in cases {
        for reordered in [false, true] {
            if subject.manners.refuses == Refuses::Silently || (reordered && subject.manners.refuses != Refuses::ByName)
            {
                continue;
            }
            let rows = fresh.rows();
            let first = rows[0].0;
            let bad: Vec<u32> = bad.iter().map(|number| first + number).collect();
            let (worse, good): (Vec<_>, Vec<_>) = rows.iter().cloned().partition(|(number, _)| bad.contains(number));
            let names = subject.names_of(&worse);
            let fault = if reordered { Fault::RefuseReordered(names) } else { Fault::Refuse(names) };
            subject.remote.inject(Some(fault)).await;
            let before = subject.remote.members().await;
            let settled = subject.deliver(Operation::Add, &rows).await;
            subject.remote.inject(None).await;
            let mut rejected = Vec::new();
            for (number, row) in &settled.outcomes {
                if let Outcome::Rejected { reason } = &row.outcome {
                    rejected.push(*number);
                    let (_, row) = rows.iter().find(|(n, _)| n == number).expect("an outcome has its row");
                    let echoes =
                        row.identifiers.iter().any(|i| reason.to_lowercase().contains(&i.value.to_lowercase()));
                    assert!(!echoes && !reason.is_empty(), "a reason is nobody's value");
                }
            }
            assert_eq!((rejected, &settled.stop), (bad, &None), "only bad rows are rejected, and the call settles");
            let added: BTreeSet<_> = subject.remote.members().await.difference(&before).cloned().collect();
            assert!(added == subject.names_of(&good), "the good rows of a call with bad ones are in the list");
        }
    }
}

/// A call that meets the fault goes through all the same, and what was acknowledged is in the list (DL-2).
async fn passes(fresh: &mut Fresh<'_>, fault: &Fault) {
    let subject = fresh.subject;
    let rows = fresh.rows();
    let operations = [Operation::Add, Operation::Update, Operation::Remove];
    for operation in operations.into_iter().filter(|operation| subject.limit(*operation) > 0) {
        let rows = if operation == Operation::Remove { removals(&rows) } else { rows.clone() };
        let started = subject.clock.now();
        subject.remote.inject(Some(fault.clone())).await;
        let timeout = if *fault == Fault::Slow { SHORT } else { Duration::from_secs(30) };
        let settled = subject.deliver_within(operation, &rows, timeout, 1).await;
        // A fault of requests that this operation does not make would be met by the next case.
        subject.remote.inject(None).await;
        let members = subject.remote.members().await;
        for (number, row) in &rows {
            let outcome = &settled.outcomes[number].outcome;
            let there = (subject.names)(&row.identifiers).is_subset(&members);
            let done = there == (operation != Operation::Remove);
            assert!(done || *outcome != Outcome::Delivered, "{operation} after {fault:?}: acknowledged means applied");
            if subject.connector.capabilities().repeatable {
                assert_eq!(
                    *outcome,
                    Outcome::Delivered,
                    "{operation} after {fault:?} goes through: {:?}",
                    settled.stop
                );
            }
        }
        if subject.manners.says_how_long && *fault == Fault::Throttle(Some(3)) {
            let waited = subject.clock.now().0 - started.0;
            assert!(waited >= 3_000, "the wait that was asked for is kept");
        }
    }
}

/// A call that meets the fault stops, applies nothing, and goes through when the fault is gone.
async fn stops(fresh: &mut Fresh<'_>, fault: &Fault) {
    let subject = fresh.subject;
    let rows = fresh.rows();
    let before = subject.remote.members().await;
    subject.remote.inject(Some(fault.clone())).await;
    let settled = subject.deliver(Operation::Add, &rows).await;
    subject.remote.inject(None).await;
    assert!(matches!(settled.stop, Some(Stop::Fatal { .. })), "{fault:?} stops the call: {:?}", settled.stop);
    let delivered: BTreeSet<u32> = settled
        .outcomes
        .iter()
        .filter_map(|(number, row)| (row.outcome == Outcome::Delivered).then_some(*number))
        .collect();
    let (sent, rest): (Vec<_>, Vec<_>) = rows.iter().cloned().partition(|(number, _)| delivered.contains(number));
    let retry = rest.iter().all(|(number, _)| settled.outcomes[number].outcome == Outcome::Retry);
    assert!(retry, "{fault:?} applies nothing, and the rows are sent again");
    let added: BTreeSet<_> = subject.remote.members().await.difference(&before).cloned().collect();
    assert!(added == subject.names_of(&sent), "{fault:?}: nothing is in the list that was not acknowledged");
    subject.all_delivered(Operation::Add, &rows).await;
}

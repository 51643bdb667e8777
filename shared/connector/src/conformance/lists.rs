use std::collections::BTreeSet;

use driftless_model::Operation;

use super::{Fault, Login, Subject, removals};
use crate::{Failure, ListState, Open};

/// More than any list of the suite has pages.
const PAGES: usize = 10_000;
/// More than [`super::withstands`] has cases, each of which may have left a few people in the list.
const CASES: u32 = 60;

/// Reads the list: empty, full over several pages, and when it cannot be read. Where members cannot be listed, says so.
pub async fn lists(subject: Subject<'_>) {
    let steps = subject.connector.check().await;
    assert!(!steps.is_empty(), "a check says what it tried");
    assert!(steps.iter().all(|step| step.result.is_ok()), "a check of a list that is well finds nothing: {steps:?}");
    if !subject.connector.capabilities().list {
        assert_eq!(subject.connector.inspect().await, Ok(ListState::Unreadable), "a list without listing");
        let failure = subject.connector.list(None, &Open).await.expect_err("members cannot be listed");
        assert!(matches!(failure, Failure::Unsupported { .. }), "{failure}");
        return;
    }
    if subject.limit(Operation::Remove) > 0 {
        let everybody = subject.remote.members().await;
        let known = subject.rows(0..subject.few() * CASES);
        let there: Vec<_> =
            known.into_iter().filter(|(_, row)| !(subject.names)(&row.identifiers).is_disjoint(&everybody)).collect();
        subject.all_delivered(Operation::Remove, &removals(&there)).await;
        subject.has(&[]).await;
        assert_eq!(subject.connector.inspect().await, Ok(ListState::Empty), "nobody is in the list");
        assert!(members(subject).await.is_empty(), "an empty list has no members");
        let rows = subject.rows(0..subject.few() * 3);
        subject.all_delivered(Operation::Add, &rows).await;
    }
    assert_eq!(subject.connector.inspect().await, Ok(ListState::NotEmpty), "somebody is in the list");
    let found = members(subject).await;
    let once: BTreeSet<String> = found.iter().cloned().collect();
    assert_eq!(found.len(), once.len(), "every member is listed once");
    assert!(once == subject.remote.members().await, "the members that are listed are those of the list");
    if subject.manners.login != Login::None {
        subject.remote.inject(Some(Fault::LoginGone)).await;
        let refused = subject.connector.list(None, &Open).await;
        subject.remote.inject(None).await;
        assert!(matches!(refused, Err(Failure::Fatal { .. })), "a list that we may not read: {refused:?}");
    }
}

async fn members(subject: Subject<'_>) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES {
        let page = subject.connector.list(cursor, &Open).await.expect("the list can be read");
        found.extend(page.members.iter().flat_map(|member| (subject.names)(&member.identifiers)));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
    panic!("the list has no last page");
}

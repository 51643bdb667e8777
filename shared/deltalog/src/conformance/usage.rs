//! The account of a sync: written with what is written anyway.

use driftless_model::{Millis, Month, Usage};

use super::example::{activate, append, config, delivered, fold, head_with, read, snapshot, sync};
use super::{done, lost};
use crate::Deltalog;
use crate::head::{Account, Head, HeadGuard};

/// The 15th of November 2026, and of the months after it.
fn mid(months: i64) -> Millis {
    Millis(1_794_700_800_000 + months * 30 * 86_400_000)
}

fn month(number: u32) -> Month {
    Month::try_from(number).expect("a month")
}

fn used(n: u64) -> Usage {
    Usage { invocations: 1, read_units: n, ..Usage::default() }
}

/// What an account should hold: `writes` are the units of the writes that carried it.
fn account(months: impl IntoIterator<Item = (u32, Usage, u64)>) -> Account {
    let all = months
        .into_iter()
        .map(|(number, usage, write_units)| (month(number), usage + Usage { write_units, ..Usage::default() }));
    Account::of(all)
}

/// Stamp, append, commit and fold carry it; nothing else of the head changes, and no write is made for it.
pub async fn usage_travels_with_the_next_write_of_the_head(store: &dyn Deltalog) {
    let name = "usage";
    let id = sync(name);
    let head = head_with(store, name, 1).await;
    assert_eq!(head.account, Account::default(), "a head without an account is readable");

    store.charge(&head, used(10), mid(0));
    assert_eq!(read(store, name).await, head, "charging writes nothing");
    done(store.stamp_snapshot(&id, &head.guard(), &snapshot(2), &config(1)).await);
    let stamped = read(store, name).await;
    assert_eq!(stamped.account, account([(202_611, used(10), 1)]));
    assert_eq!(stamped, Head { snapshot: Some(snapshot(2)), account: stamped.account.clone(), ..head });

    done(store.append_version(&id, &stamped.guard(), &append("t2", 3)).await);
    assert_eq!(read(store, name).await.account, stamped.account, "a charge is carried once");

    let active = activate(store, name, "r1").await;
    store.charge(&active, used(5), mid(0));
    store.charge(&active, used(1), mid(0));
    done(store.commit(&id, &active.stamp, &delivered("r1", 2), None).await);
    let committed = read(store, name).await;
    let both = used(16) + Usage { invocations: 1, ..Usage::default() };
    assert_eq!(
        committed.account.current().map(|(m, u)| (m, u.read_units, u.invocations)),
        Some((month(202_611), 16, 3))
    );
    assert!(committed.account.current().is_some_and(|(_, u)| u.write_units <= 4 && both.invocations < 3));

    store.charge(&committed, used(4), mid(0));
    done(store.fold(&id, &fold(&committed, None, "f1", 2)).await);
    let folded = read(store, name).await;
    assert_eq!(folded.account.current().map(|(_, u)| u.read_units), Some(20));
    let retired = folded.retired.iter().map(|r| r.entry.token.clone()).collect();
    store.charge(&folded, used(2), mid(0));
    store.clear_retired(&id, &retired).await.expect("clears");
    let cleared = read(store, name).await;
    assert_eq!(cleared.retired, []);
    assert_eq!(cleared.account.current().map(|(_, u)| u.read_units), Some(22));
}

/// A refused write carries nothing, and a write that is found done has carried its charge before.
pub async fn a_charge_is_for_one_write(store: &dyn Deltalog) {
    let name = "usage-once";
    let id = sync(name);
    let head = head_with(store, name, 2).await;
    store.charge(&head, used(7), mid(0));
    let stale = HeadGuard { version: 1, ..head.guard() };
    lost(store.append_version(&id, &stale, &append("late", 9)).await);
    assert_eq!(read(store, name).await, head);
    let next = append("t3", 3);
    done(store.append_version(&id, &head.guard(), &next).await);
    let after = read(store, name).await;
    assert_eq!(after.account, Account::default());

    // The same write again, as after an answer that was lost: it is found done, and is not paid for twice.
    store.charge(&head, used(8), mid(0));
    done(store.append_version(&id, &head.guard(), &next).await);
    assert_eq!(read(store, name).await, after);
    done(store.append_version(&id, &after.guard(), &append("t4", 4)).await);
    assert_eq!(read(store, name).await.account, after.account);
}

/// A year and a month are kept.
pub async fn a_new_month_closes_the_one_before(store: &dyn Deltalog) {
    let name = "usage-months";
    let id = sync(name);
    let _: Head = head_with(store, name, 0).await;
    for n in 0..15_i64 {
        for again in 0..2 {
            let head = read(store, name).await;
            store.charge(&head, used(n.unsigned_abs() + 1), mid(n));
            let newest = snapshot(n * 2 + again + 1);
            done(store.stamp_snapshot(&id, &head.guard(), &newest, &config(1)).await);
        }
    }
    let kept: Vec<_> = read(store, name).await.account.months().map(|(m, u)| (m.number(), u.read_units)).collect();
    let months = [202_701, 202_702, 202_703, 202_704, 202_705, 202_706, 202_707, 202_708];
    let months = months.into_iter().chain([202_709, 202_710, 202_711, 202_712, 202_801]);
    assert_eq!(kept, months.zip((3..=15).map(|n| n * 2)).collect::<Vec<_>>());

    let head = read(store, name).await;
    store.charge(&head, used(1), mid(0));
    done(store.stamp_snapshot(&id, &head.guard(), &snapshot(99), &config(1)).await);
    assert_eq!(
        read(store, name).await.account.current().map(|(_, u)| u.read_units),
        Some(31),
        "a clock that is behind"
    );
}

//! Lists that runs make, and lists that are to go.

use super::example::{activate, fold, head_with, new_head, new_list, old_list, read, run_id, sync, token};
use super::{done, lost};
use crate::Deltalog;
use crate::head::{Fold, Head, Lists, Named, OldList};

/// The new list becomes the sync's in the write that commits its run, and the old one is named until it is retired.
pub async fn a_new_list_takes_its_place_with_the_commit(store: &dyn Deltalog) {
    let name = "new-list";
    head_with(store, name, 1).await;
    let active = activate(store, name, "r1").await;
    assert_eq!((active.list(), &active.lists), ("weekly", &Lists::default()));
    let made = new_list(&active, "r1");
    let committing = Fold { new_list: Some(made.clone()), ..fold(&active, Some("r1"), "f1", 1) };
    lost(store.fold(&sync(name), &Fold { from_stamp: token("other"), ..committing.clone() }).await);
    assert_eq!(read(store, name).await, active);
    for _ in 0..2 {
        done(store.fold(&sync(name), &committing).await);
    }
    let first = read(store, name).await;
    let expected = Lists { current: Some("list of r1".into()), old: vec![made.old.clone()] };
    assert_eq!((first.list(), &first.lists), ("list of r1", &expected));
    assert_eq!(made.old.list, Named::Called("weekly".into()));

    let active = activate(store, name, "r2").await;
    let second = new_list(&active, "r2");
    // Given up by one who knew less than the one who commits.
    done(store.put_old_list(&sync(name), &old_list("r2", Named::Called(second.list.clone()))).await);
    done(store.fold(&sync(name), &Fold { new_list: Some(second.clone()), ..fold(&active, Some("r2"), "f2", 1) }).await);
    let both = read(store, name).await;
    assert_eq!(both.list(), "list of r2");
    assert_eq!(both.lists.old, [made.old, second.old]);
    let active = activate(store, name, "r3").await;
    done(store.fold(&sync(name), &fold(&active, Some("r3"), "f3", 1)).await);
    assert_eq!(read(store, name).await.lists, both.lists, "a commit without a new list leaves them alone");
}

/// An old list is named until it is retired, by whoever read it last.
pub async fn an_old_list_is_forgotten_once_it_is_retired(store: &dyn Deltalog) {
    let (name, id) = ("old-list", sync("old-list"));
    let half = old_list("r1", Named::AskedFor("weekly-1".into()));
    lost(store.put_old_list(&id, &half).await);
    head_with(store, name, 1).await;
    lost(store.put_old_list(&id, &half).await);
    activate(store, name, "r1").await;
    for _ in 0..2 {
        done(store.put_old_list(&id, &half).await);
    }
    lost(store.put_old_list(&id, &old_list("r2", Named::Called("x".into()))).await);
    assert_eq!(read(store, name).await.lists, Lists { current: None, old: vec![half.clone()] });

    let tried = OldList { failures: 1, last_error: Some("503".into()), ..half.clone() };
    for _ in 0..2 {
        done(store.replace_old_list(&id, &half, Some(&tried)).await);
    }
    lost(store.replace_old_list(&id, &half, None).await);
    assert_eq!(read(store, name).await.lists.old.first(), Some(&tried));
    for _ in 0..2 {
        done(store.replace_old_list(&id, &tried, None).await);
    }
    lost(store.replace_old_list(&id, &tried, Some(&half)).await);
    assert_eq!(read(store, name).await.lists, Lists::default());
    done(store.deactivate(&id, &run_id("r1")).await);
}

/// The next incarnation of a sync retires what the one before left, and goes on with the list that took the place of the same
/// configured one.
pub async fn lists_outlive_an_incarnation(store: &dyn Deltalog) {
    let name = "lists-later";
    let old = vec![old_list("r1", Named::Called("a".into()))];
    let lists = Lists { current: Some("b".into()), old };
    let before = Head { lists: lists.clone(), ..new_head(name) };
    done(store.create_head(&before).await);
    let before = read(store, name).await;
    assert_eq!(before.lists, lists);
    let next = Head { incarnation: 4, ..new_head(name) };
    let other = {
        let mut other = next.clone();
        other.names.list = "monthly".into();
        other.succeeding(Some(&before), None)
    };
    assert_eq!((other.list(), &other.lists.old), ("monthly", &lists.old), "another list is another list");
    let half = old_list("r2", Named::AskedFor("c".into()));
    let next = next.succeeding(Some(&before), Some(half.clone()));
    assert_eq!((next.list(), next.lists.old.len(), next.lists.old.last()), ("b", 2, Some(&half)));
    done(store.create_head(&next).await);
    assert_eq!(read(store, name).await, next);
}

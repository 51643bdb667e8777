//! What every implementation of [`Objects`] must do. Each function expects a bucket with versioning and keys of its own.
//!
//! A user's upload is not part of the port, so the functions that need one take it as `upload`.

#![allow(clippy::missing_panics_doc)] // a failed expectation is what the suite is for

use bytes::Bytes;
use driftless_model::ObjectVersion;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{Abandoned, Error, Objects, Parts, Result, Written};

/// Everything below, one after the other. `upload` puts a new version of an object and returns what it is called.
pub async fn all(objects: &dyn Objects, upload: impl AsyncFn(&str, Bytes) -> ObjectVersion) {
    an_object_of_ours_is_written_once(objects).await;
    what_is_not_there_is_not_found(objects, &upload).await;
    a_range_is_clamped_to_the_object(objects, &upload).await;
    a_named_version_is_read_after_an_overwrite(objects, &upload).await;
    an_unversioned_name_is_guarded_by_its_entity_tag(objects, &upload).await;
    keys_are_taken_as_they_are(objects, &upload).await;
    an_object_in_parts_is_written_once_and_whole(objects).await;
    deleting_is_repeatable(objects).await;
    a_listing_is_whole_and_in_key_order(objects).await;
}

/// `If-None-Match: *`: the second write says `Existed` and changes nothing.
pub async fn an_object_of_ours_is_written_once(objects: &dyn Objects) {
    let key = "history/once";
    assert_eq!(objects.create(key, Bytes::from_static(b"first")).await.expect("creates"), Written::Created);
    assert_eq!(objects.create(key, Bytes::from_static(b"second")).await.expect("answers"), Written::Existed);
    assert_eq!(objects.read(key).await.expect("reads"), "first");
    let empty = "history/empty";
    assert_eq!(objects.create(empty, Bytes::new()).await.expect("creates"), Written::Created);
    assert_eq!(objects.read(empty).await.expect("reads"), "");
}

/// Parts that a test gives, and what comes after them.
struct Given {
    parts: Vec<Bytes>,
    gives_up: bool,
}

#[async_trait::async_trait]
impl Parts for Given {
    async fn next(&mut self) -> Result<Option<Bytes>, Abandoned> {
        match self.parts.pop() {
            Some(part) => Ok(Some(part)),
            None if self.gives_up => Err("there is no more".into()),
            None => Ok(None),
        }
    }
}

/// Small and large, once, and never a part of it.
pub async fn an_object_in_parts_is_written_once_and_whole(objects: &dyn Objects) {
    let large = Bytes::from(vec![7_u8; 6 << 20]);
    let (one, tail) = (Bytes::from_static(b"one"), Bytes::from_static(b"tail"));
    for (key, parts) in [
        ("history/parts-none", vec![]),
        ("history/parts-one", vec![one.clone()]),
        ("history/parts-few", vec![one.clone(), Bytes::new(), tail.clone()]),
        ("history/parts-many", vec![one.clone(), large.clone(), large.clone(), tail.clone()]),
    ] {
        let whole: Vec<u8> = parts.iter().flatten().copied().collect();
        let given = |gives_up| Given { parts: parts.iter().rev().cloned().collect(), gives_up };
        match objects.create_from(key, &mut given(true)).await {
            Err(Error::Abandoned { key: named, .. }) => assert_eq!(named, key),
            other => panic!("{other:?}"),
        }
        assert!(objects.head(key, None).await.is_err(), "{key} was given up");
        assert_eq!(objects.create_from(key, &mut given(false)).await.expect("creates"), Written::Created);
        let mut other = Given { parts: vec![large.clone(), one.clone()], gives_up: false };
        assert_eq!(objects.create_from(key, &mut other).await.expect("answers"), Written::Existed);
        assert_eq!(objects.read(key).await.expect("reads"), whole);
    }
}

/// Absence is an answer of its own, for a key and for a version.
pub async fn what_is_not_there_is_not_found(
    objects: &dyn Objects,
    upload: &impl AsyncFn(&str, Bytes) -> ObjectVersion,
) {
    let key = "datasets/absent";
    assert!(matches!(objects.head(key, None).await, Err(Error::NotFound { .. })));
    assert!(matches!(objects.read(key).await, Err(Error::NotFound { .. })));
    let there = upload("datasets/there", Bytes::from_static(b"x")).await;
    let elsewhere = ObjectVersion { key: key.to_owned(), ..there.clone() };
    assert!(matches!(objects.read_range(&elsewhere, 0..1).await, Err(Error::NotFound { .. })));
    let gone = ObjectVersion { version_id: Some("no-such-version".to_owned()), ..there };
    assert!(matches!(objects.read_range(&gone, 0..1).await, Err(Error::NotFound { .. })));
}

/// Ranges are half-open; what lies beyond the end is left out.
pub async fn a_range_is_clamped_to_the_object(
    objects: &dyn Objects,
    upload: &impl AsyncFn(&str, Bytes) -> ObjectVersion,
) {
    let object = upload("datasets/range", Bytes::from_static(b"0123456789")).await;
    assert_eq!(object.size, 10);
    for (range, expected) in
        [(0..10, "0123456789"), (3..5, "34"), (9..10, "9"), (8..99, "89"), (10..12, ""), (4..4, "")]
    {
        assert_eq!(objects.read_range(&object, range).await.expect("reads"), expected);
    }
}

/// An event names a version; a later upload must not change what is read.
pub async fn a_named_version_is_read_after_an_overwrite(
    objects: &dyn Objects,
    upload: &impl AsyncFn(&str, Bytes) -> ObjectVersion,
) {
    let key = "datasets/versions";
    let old = upload(key, Bytes::from_static(b"old")).await;
    let new = upload(key, Bytes::from_static(b"newer")).await;
    assert_ne!(old.version_id, new.version_id);
    assert_eq!(objects.read_range(&old, 0..old.size).await.expect("reads"), "old");
    assert_eq!(objects.read_range(&new, 0..new.size).await.expect("reads"), "newer");
    let named = objects.head(key, old.version_id.as_deref()).await.expect("is there");
    assert_eq!(named.object, old);
    assert_eq!(objects.head(key, None).await.expect("is there").object, new);
}

/// Without a version id the entity tag decides.
pub async fn an_unversioned_name_is_guarded_by_its_entity_tag(
    objects: &dyn Objects,
    upload: &impl AsyncFn(&str, Bytes) -> ObjectVersion,
) {
    let key = "datasets/etag";
    let unversioned = |object| ObjectVersion { version_id: None, ..object };
    let old = unversioned(upload(key, Bytes::from_static(b"old")).await);
    assert_eq!(objects.read_range(&old, 0..3).await.expect("reads"), "old");
    let new = unversioned(upload(key, Bytes::from_static(b"new")).await);
    assert!(matches!(objects.read_range(&old, 0..3).await, Err(Error::Replaced { .. })));
    assert_eq!(objects.read_range(&new, 0..3).await.expect("reads"), "new");
}

/// Keys are not encoded, decoded or normalised on the way.
pub async fn keys_are_taken_as_they_are(objects: &dyn Objects, upload: &impl AsyncFn(&str, Bytes) -> ObjectVersion) {
    let key = "datasets/odd/a+b ü%20&=1.parquet";
    let object = upload(key, Bytes::from_static(b"odd")).await;
    assert_eq!(objects.head(key, None).await.expect("is there").object, object);
    assert_eq!(objects.read_range(&object, 0..3).await.expect("reads"), "odd");
    let listed = objects.list("datasets/odd/a+b ").await.expect("lists");
    assert_eq!(listed.into_iter().map(|l| l.object.key).collect::<Vec<_>>(), [key]);
}

/// Deleting twice succeeds, and the name is free again.
pub async fn deleting_is_repeatable(objects: &dyn Objects) {
    let key = "reports/deleted";
    let _ = objects.create(key, Bytes::from_static(b"x")).await.expect("creates");
    for _ in 0..2 {
        objects.delete(key).await.expect("deletes");
        assert!(matches!(objects.read(key).await, Err(Error::NotFound { .. })));
        assert_eq!(objects.list(key).await.expect("lists"), []);
    }
    assert_eq!(objects.create(key, Bytes::from_static(b"y")).await.expect("creates"), Written::Created);
}

/// More objects than one page of S3 holds (1,000), in byte order of their keys, without version ids.
pub async fn a_listing_is_whole_and_in_key_order(objects: &dyn Objects) {
    let keys: Vec<_> = (0..1_050).map(|n| format!("changesets/many/{n:04}")).collect();
    stream::iter(&keys)
        .map(|key| objects.create(key, Bytes::from_static(b"x")))
        .buffer_unordered(16)
        .try_for_each(|_| async { Ok(()) })
        .await
        .expect("creates");
    let _ = objects.create("changesets/many", Bytes::new()).await.expect("creates");
    let listed = objects.list("changesets/many/").await.expect("lists");
    assert!(listed.iter().all(|l| l.object.version_id.is_none() && l.object.size == 1));
    assert!(listed.iter().map(|l| &l.object.key).eq(&keys));
    let first = objects.read_range(&listed[0].object, 0..1).await.expect("what is listed can be read");
    assert_eq!(first, "x");
    assert_eq!(objects.list("changesets/none/").await.expect("lists"), []);
}

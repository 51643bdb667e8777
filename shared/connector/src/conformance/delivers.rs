use driftless_model::Operation;

use super::{Person, Subject, removals};

/// Adds, updates and removes: empty, one, the exact limit, one more, the same call twice.
pub async fn delivers(subject: Subject<'_>) {
    let limit = subject.limit(Operation::Add);
    for operation in [Operation::Add, Operation::Update, Operation::Remove] {
        let nothing = subject.deliver(operation, &[]).await;
        assert_eq!((nothing.outcomes.len(), nothing.requests), (0, 0), "an empty {operation} makes no request");
    }
    for count in [1, limit, limit + 1] {
        let rows = subject.rows(0..count);
        subject.all_delivered(Operation::Add, &rows).await;
        subject.has(&rows).await;
    }
    let rows = subject.rows(0..=limit);
    subject.all_delivered(Operation::Add, &rows).await;
    subject.has(&rows).await;
    if subject.limit(Operation::Update) > 0 {
        updates(subject, limit).await;
    }
    if subject.limit(Operation::Remove) > 0 {
        let (gone, stay) = rows.split_at(rows.len() / 2);
        subject.all_delivered(Operation::Remove, &removals(gone)).await;
        subject.has(stay).await;
        // Who is gone already is not in the list, which is all that was asked.
        subject.all_delivered(Operation::Remove, &removals(gone)).await;
        subject.has(stay).await;
        subject.all_delivered(Operation::Remove, &removals(stay)).await;
        subject.has(&[]).await;
        // The remove limit may be another than that of adds.
        let limit = subject.limit(Operation::Remove);
        for count in [limit, limit + 1] {
            let rows = subject.rows(0..count);
            subject.all_delivered(Operation::Add, &rows).await;
            subject.all_delivered(Operation::Remove, &removals(&rows)).await;
            subject.has(&[]).await;
        }
    }
}

/// New values of the same people: the list keeps its members, and the values arrive.
async fn updates(subject: Subject<'_>, limit: u32) {
    let renamed = |number| Person { first_name: format!("M{number}"), ..Person::numbered(number) };
    let rows: Vec<_> = (0..=limit).map(|number| (number, (subject.row)(&renamed(number)))).collect();
    for _ in 0..2 {
        subject.all_delivered(Operation::Update, &rows).await;
        subject.has(&rows).await;
    }
    if let Some(first_names) = subject.remote.first_names().await {
        for (number, row) in &rows {
            let kept = (subject.names)(&row.identifiers)
                .iter()
                .all(|name| first_names.get(name).is_some_and(|first_name| *first_name == renamed(*number).first_name));
            assert!(kept, "the new value of row {number} arrived");
        }
    }
}

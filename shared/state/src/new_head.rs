use driftless_deltalog::Deltalog;
use driftless_deltalog::head::{Head, Named, OldList};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::Millis;

/// No function lives longer, in milliseconds.
const LONGEST_FUNCTION: i64 = 15 * 60_000;

/// The first head of a registered incarnation. It knows what the head `before` it knew of lists: also the one that the active run
/// of that may have made, which nobody commits any more. It may still be loading, so that list is left alone for as long as
/// functions live.
///
/// # Errors
/// The ledger could not be read.
pub async fn new_head(
    log: &dyn Deltalog,
    entry: &SyncEntry,
    before: Option<&Head>,
    now: Millis,
) -> driftless_deltalog::Result<Head> {
    let new = Head::new(entry.sync.clone(), entry.incarnation, entry.names.clone(), entry.config.clone());
    let active = before.and_then(|head| Some((head, head.active_run.as_ref()?)));
    let unfinished = match active {
        Some((head, run)) => log.run(&head.sync, run).await?.and_then(|run| {
            run.new_list.map(|name| OldList {
                run: run.id,
                destination: head.names.destination.clone(),
                list: Named::AskedFor(name),
                successor: None,
                since: now.plus(LONGEST_FUNCTION),
                failures: 0,
                last_error: None,
            })
        }),
        None => None,
    };
    Ok(new.succeeding(before, unfinished))
}

use clap::Args;
use driftless_delivery::Message;
use driftless_model::SyncId;
use serde_json::json;

use crate::Ended;
use crate::apply::entry::{base_fingerprint, salted};
use crate::output::show;
use crate::session::Session;

/// Send everything again.
///
/// For a list that was changed behind our back. What was acknowledged is no longer compared, so every selected record is
/// sent again; membership still counts, so those who left are removed as always, under the guards.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  driftless resync newsletter\n  driftless sync now newsletter --wait")]
pub(crate) struct Resync {
    /// The sync.
    sync: SyncId,
}

impl Resync {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        // A new epoch under a fingerprint that no history carries (protocol rule 14): ingest takes the newest snapshot up
        // once more, and every acknowledged row becomes uncertain by hash, its identifiers kept.
        let entry = super::pause::change_entry(session, &self.sync, |entry| {
            entry.config.epoch += 1;
            entry.config.fingerprint = salted(base_fingerprint(&entry.config.fingerprint), entry.config.epoch);
            entry.applied_at = session.clock.now();
            true
        })
        .await?;
        let Some(entry) = entry else { return Ok(Ended::Well) };
        let tick = format!("resync-{}", session.tokens.token());
        let message = Message::Ingest {
            dataset: entry.dataset.clone(),
            sync: Some(entry.sync.clone()),
            cause: "resync".to_owned(),
            then_plan: Some(tick),
        };
        session.send("ingest", &message).await?;
        let sync = &self.sync;
        show(json, &json!({ "sync": sync, "epoch": entry.config.epoch }), || {
            format!("{sync} is sent whole again; `driftless sync now {sync} --wait` waits for it.")
        })?;
        Ok(Ended::Well)
    }
}

use clap::Args;
use driftless_model::SyncId;

use crate::Ended;
use crate::explain::{gather, key_of, render, story};
use crate::output::show;
use crate::progress::Progress;
use crate::session::Session;

/// Tell the story of one record in one list.
///
/// How it stands, since when it is a member, every change with its snapshot, log version, run, call and time, and the last error.
/// Prints the identifiers of this one record. Details expire; what is acknowledged does not.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless explain newsletter c00000042
  driftless explain orders c00000042 17     (a key of two columns)
  driftless explain newsletter c00000042 --json")]
pub(crate) struct Explain {
    /// The sync.
    sync: SyncId,
    /// The record's key; several values, in the order of the key columns, where it has several.
    #[arg(required = true)]
    key: Vec<String>,
}

impl Explain {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let entry = session.entry(&self.sync).await?;
        let progress = Progress::spinner("looking everywhere");
        let key = key_of(&self.key);
        let facts = gather(session, &entry, &key, |what| progress.say(what)).await?;
        drop(progress);
        let story = story(&facts);
        show(json, &story, || render(&story, &self.key.join(" ")))?;
        Ok(Ended::Well)
    }
}

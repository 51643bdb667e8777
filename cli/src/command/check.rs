use std::sync::Arc;

use clap::Args;
use driftless_config::{Destination, load_project};
use driftless_connector::{FetchedSecrets, HttpPolicy, TokenSharing, build_with};
use driftless_fn_connector::DeltalogTokens;
use driftless_model::{DestinationId, SyncId};
use driftless_state::documents;
use serde_json::{Value, json};

use crate::Ended;
use crate::args::Global;
use crate::ended::Trouble;
use crate::output::show;
use crate::progress::Progress;
use crate::session::Session;

/// Try a destination: login, permission, and whether the list exists.
///
/// Reads only. The destination is taken from the project, or from the deployment where the project has none of that name; its
/// secrets are read with your own AWS credentials.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless check crm
  driftless check crm --list customers")]
pub(crate) struct Check {
    /// The destination.
    destination: DestinationId,
    /// The list there. By default those of the syncs that use the destination.
    #[arg(long)]
    list: Option<String>,
}

impl Check {
    pub(crate) async fn run(&self, session: &Session, global: &Global) -> anyhow::Result<Ended> {
        let progress = Progress::spinner("checking");
        let (destination, lists) = self.find(session, global).await?;
        let mut secrets = FetchedSecrets::default();
        for reference in destination.secret_refs() {
            let secret = session.secrets.get(reference.name(), reference.json_key()).await?;
            secrets.insert(reference.clone(), secret);
        }
        // The shared token, so that trying a login neither uses up a refresh token nor makes the functions log in again.
        let secrets = secrets.sharing(TokenSharing {
            store: Arc::new(DeltalogTokens::new(Arc::clone(&session.log), self.destination.clone())),
            clock: Arc::clone(&session.clock),
            worker: session.tokens.token(),
        });
        let policy = HttpPolicy { allow_private: session.private, ..HttpPolicy::default() };
        let (mut told, mut lines, mut well): (Vec<Value>, Vec<String>, bool) = (Vec::new(), Vec::new(), true);
        for list in lists {
            progress.say(format!("checking {list}"));
            let connector = build_with(&destination, &list, &secrets, policy, &session.ports)?;
            for step in connector.check().await {
                let (ok, said) = match step.result {
                    Ok(found) => (true, found),
                    Err(why) => (false, why),
                };
                well &= ok;
                lines.push(format!("{}  {}: {said}", if ok { "ok    " } else { "FAILED" }, step.name));
                told.push(json!({ "list": list, "step": step.name, "ok": ok, "said": said }));
            }
        }
        drop(progress);
        show(global.json, &json!({ "destination": self.destination, "ok": well, "steps": told }), || lines.join("\n"))?;
        Ok(if well { Ended::Well } else { Ended::Attention })
    }

    /// The destination and the lists to try.
    async fn find(&self, session: &Session, global: &Global) -> anyhow::Result<(Destination, Vec<String>)> {
        let project = load_project(&global.project);
        let name = &self.destination;
        let chosen = |lists: Vec<String>| {
            let mut lists = self.list.clone().map_or(lists, |list| vec![list]);
            lists.sort();
            lists.dedup();
            if lists.is_empty() { vec![String::new()] } else { lists }
        };
        if let Some(destination) = project.destinations.get(name) {
            let mut lists = Vec::new();
            for (sync, config) in project.syncs.iter().filter(|(_, s)| s.destination == *name) {
                let configured = config.list.clone().unwrap_or_default();
                lists.push(current(session, sync, name, &configured).await?.unwrap_or(configured));
            }
            return Ok((destination.clone(), chosen(lists)));
        }
        let registered = session.log.destinations().await?.into_iter().find(|d| d.destination == *name);
        let Some(entry) = registered else {
            let wrong = project.problems.iter().find(|p| p.file.ends_with(format!("destinations/{name}.yaml")));
            let trouble = match wrong {
                Some(problem) => Trouble::usage(problem.to_string(), "mend the file first"),
                None => Trouble::usage(
                    format!("there is no destination `{name}`"),
                    format!("describe it in destinations/{name}.yaml"),
                ),
            };
            return Err(trouble.into());
        };
        let destination = documents::destination(session.objects.as_ref(), &entry).await?;
        let syncs = session.log.syncs().await?;
        let mut lists = Vec::new();
        for entry in syncs.into_iter().filter(|s| s.destination == *name) {
            let configured = entry.names.list;
            lists.push(current(session, &entry.sync, name, &configured).await?.unwrap_or(configured));
        }
        Ok((destination, chosen(lists)))
    }
}

/// The list that a run has put in the place of the configured one, if one has. Where nothing is deployed none has.
async fn current(
    session: &Session,
    sync: &SyncId,
    destination: &DestinationId,
    configured: &str,
) -> anyhow::Result<Option<String>> {
    let head = match session.log.head(sync).await {
        Err(driftless_deltalog::Error::NoTable { .. }) => None,
        other => other?,
    };
    let same = head.filter(|h| h.names.destination == *destination && h.names.list == configured);
    Ok(same.and_then(|h| h.lists.current))
}

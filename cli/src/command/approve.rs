use std::collections::BTreeMap;

use clap::Args;
use driftless_deltalog::head::{Head, Hold, Swap};
use driftless_model::SyncId;
use serde_json::json;

use crate::Ended;
use crate::ended::Trouble;
use crate::output::show;
use crate::session::Session;
use crate::time::count;

/// Let go what a guard holds.
///
/// Names the log version whose changes are held, as `status` shows it. The number that was held is a ceiling: had the guard
/// held more meanwhile, nothing would be approved. The next run sends what was approved.
#[derive(Debug, Args)]
// `--version` names a log version here.
#[command(
    disable_version_flag = true,
    after_help = "Examples:
  driftless approve newsletter
  driftless approve newsletter --version 7 --ceiling 2300
  driftless sync now newsletter --wait"
)]
pub(crate) struct Approve {
    /// The sync.
    sync: SyncId,
    /// The log version whose changes are held; may be left out when there is only one.
    #[arg(long)]
    version: Option<u64>,
    /// The most records that may be let go. By default as many as are held now.
    #[arg(long, value_name = "RECORDS")]
    ceiling: Option<u64>,
}

/// The log version that a hold belongs to; its number in the head tells a snapshot's hold from a run's.
pub(crate) const fn version_of(number: u64) -> u64 {
    number / 2
}

impl Approve {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let sync = &self.sync;
        let entry = session.entry(sync).await?;
        let head = crate::sync_state::head(session, &entry).await?;
        let holds: BTreeMap<u64, Hold> =
            head.iter().flat_map(Head::active_holds).map(|(number, hold)| (number, hold.clone())).collect();
        let chosen = self.choose(&holds)?;
        let mut approved = Vec::new();
        for (number, hold) in chosen {
            let ceiling = self.ceiling.unwrap_or(hold.count);
            if session.log.approve(sync, number, ceiling, session.clock.now()).await? == Swap::Lost {
                let version = version_of(number);
                return Err(Trouble::new(
                    format!(
                        "version {version} holds {} records, more than the ceiling of {}",
                        count(hold.count),
                        count(ceiling)
                    ),
                    format!("look at `driftless status {sync}`, then approve again"),
                )
                .into());
            }
            approved.push(json!({ "version": version_of(number), "count": hold.count, "reason": hold.reason }));
        }
        show(json, &json!({ "sync": sync, "approved": approved }), || {
            let n: u64 = holds_count(&approved);
            format!("Approved: {} records. The next run sends them; `driftless sync now {sync}` asks for it.", count(n))
        })?;
        Ok(Ended::Well)
    }

    /// The holds that are meant.
    fn choose(&self, holds: &BTreeMap<u64, Hold>) -> Result<Vec<(u64, Hold)>, Trouble> {
        let of = |version| -> Vec<(u64, Hold)> {
            holds.iter().filter(|(n, _)| version_of(**n) == version).map(|(n, h)| (*n, h.clone())).collect()
        };
        let mut versions: Vec<u64> = holds.keys().map(|n| version_of(*n)).collect();
        versions.dedup();
        let sync = &self.sync;
        let listed = || versions.iter().map(|v| format!("--version {v}")).collect::<Vec<_>>().join(" or ");
        match (self.version, versions.as_slice()) {
            (_, []) => {
                Err(Trouble::usage(format!("nothing of `{sync}` is held"), format!("see `driftless status {sync}`")))
            }
            (Some(v), _) if versions.contains(&v) => Ok(of(v)),
            (None, [v]) => Ok(of(*v)),
            (Some(v), _) => Err(Trouble::usage(format!("nothing of version {v} is held"), format!("add {}", listed()))),
            (None, _) => Err(Trouble::usage("several versions are held", format!("add {}", listed()))),
        }
    }
}

fn holds_count(approved: &[serde_json::Value]) -> u64 {
    approved.iter().filter_map(|a| a.get("count").and_then(serde_json::Value::as_u64)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use driftless_model::Millis;

    fn hold(count: u64) -> Hold {
        Hold { object: "o".into(), count, reason: "max_removals".into(), since: Millis(0), approved_at: None }
    }

    #[test]
    fn a_version_must_be_named_when_several_are_held() {
        let approve = |version| Approve { sync: "crm".parse().unwrap(), version, ceiling: None };
        let holds = BTreeMap::from([(Head::snapshot_hold(3), hold(5)), (Head::run_hold(4), hold(7))]);
        assert!(approve(None).choose(&holds).unwrap_err().to_string().contains("--version 3 or --version 4"));
        assert_eq!(approve(Some(4)).choose(&holds).unwrap(), [(Head::run_hold(4), hold(7))]);
        assert!(approve(Some(5)).choose(&holds).is_err());
        let one = BTreeMap::from([(Head::snapshot_hold(3), hold(5)), (Head::run_hold(3), hold(7))]);
        assert_eq!(approve(None).choose(&one).unwrap().len(), 2);
        assert!(approve(None).choose(&BTreeMap::new()).is_err());
    }
}

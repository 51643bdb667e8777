//! A run that reads the remote list and sends nothing: strategy `compare`, and `driftless reconcile`.

use driftless_changeset::Changeset;
use driftless_config::{FirstSync, Strangers, Strategy};
use driftless_delivery::{Message, Outgoing};
use driftless_deltalog::head::Head;
use driftless_deltalog::ledger::{Compares, Run};
use driftless_model::{Operation, RunId};
use driftless_state::SyncState;

use crate::calls::call;
use crate::error::Error;
use crate::plan::{Asked, Planned, Planner, Request, blank, still_to_come};
use crate::setting::Setting;

/// How long a request waits that met something in its way, in seconds.
const COME_BACK: u32 = 60;

impl Planner {
    /// Opens a comparison where one is asked for, or comes first; `None`: plan what differs.
    ///
    /// A comparison is a run with one call that reads the list and no row. It is active like any other, so nothing is sent while
    /// the list is read; its writes, claims, parking and deadline are those of every run. The commit corrects A, and the next
    /// plan is a delta like any other: nothing that guards, holds or suppresses is bypassed.
    pub(crate) async fn compare_first(
        &self,
        request: &Request,
        head: &Head,
        setting: &Setting,
    ) -> Result<Option<Planned>, Error> {
        let acknowledged = head.history.is_some() || !head.delivered.is_empty();
        let adopts = !acknowledged && setting.config.first_sync == FirstSync::Adopt && setting.capabilities.list;
        let asked = match request.compare {
            None if adopts && !self.follows_comparison(request).await? => Asked::Correct,
            Some(asked) => asked,
            None if setting.config.strategy != Strategy::Compare || !setting.capabilities.list => return Ok(None),
            None if self.follows_comparison(request).await? => return Ok(None),
            None => Asked::Correct,
        };
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), head);
        // Under another configuration everything is sent again anyway.
        if !setting.capabilities.list || !(acknowledged || adopts) || !state.made_under(&head.config.fingerprint) {
            return Ok(request.compare.map(|_| Planned::InSync));
        }
        let id = RunId::new(format!("r{}-{}", head.incarnation, self.tokens.token()));
        let calls = [call(&id, 0, 0, Operation::List, 0, 0)];
        let mut run = self.comparison(request, head, setting, id, asked, adopts);
        run.usage = self.meter.take_for(&head.sync) + still_to_come(head, &run, &calls);
        self.activate(request, head, setting, run, Changeset::default(), &calls).await.map(Some)
    }

    fn comparison(
        &self,
        request: &Request,
        head: &Head,
        setting: &Setting,
        id: RunId,
        asked: Asked,
        adopts: bool,
    ) -> Run {
        let strategy = match asked {
            _ if adopts => "compare: the members that the list has become ours",
            Asked::Report => "compare: only to tell what differs",
            Asked::Correct => "compare: the list is read before what differs is sent",
        };
        Run {
            // It delivers nothing of any version.
            through: head.delivered.iter().map(|d| d.through).max().unwrap_or(0),
            calls: 1,
            strategy: strategy.to_owned(),
            compares: Some(Compares {
                corrects: asked == Asked::Correct,
                strangers_go: adopts || setting.config.reconcile.strangers == Strangers::Remove,
                first: adopts,
            }),
            ..blank(request, head, setting, id, self.clock.now())
        }
    }

    /// True if nothing that follows from the active run makes the request unnecessary. A comparison that corrects is followed by a
    /// plan; whoever is asked for a comparison while something is sent must wait.
    pub(crate) async fn is_in_the_way(&self, request: &Request, run: &RunId) -> Result<bool, Error> {
        let active = self.log.run(&request.sync, run).await?.and_then(|run| run.compares);
        Ok(match (request.compare, active) {
            (None, None) => false,
            (None, Some(active)) => !active.corrects,
            (Some(_), None) => true,
            (Some(asked), Some(active)) => active.corrects != (asked == Asked::Correct),
        })
    }

    /// True if the commit of a comparison asks: the list was just read.
    async fn follows_comparison(&self, request: &Request) -> Result<bool, Error> {
        match request.tick.strip_prefix("after-") {
            Some(run) => {
                let run = self.log.run(&request.sync, &RunId::new(run)).await?;
                Ok(run.is_some_and(|run| run.compares.is_some()))
            }
            None => Ok(false),
        }
    }

    /// Asks again later, by a new message. If we die before the old one is acknowledged there are two: a tick makes one run.
    pub(crate) async fn come_back(&self, request: &Request) -> Result<Planned, Error> {
        let (sync, tick, cause) = (request.sync.clone(), request.tick.clone(), request.cause.clone());
        let message = match request.compare {
            Some(asked) => Message::Compare { sync, tick, cause, dry_run: asked == Asked::Report },
            None => Message::Plan { sync, tick, cause, after_ingest: !request.look_for_snapshot },
        };
        self.queue.send(&self.own_queue, &[Outgoing::from(&message).delayed(COME_BACK)]).await?;
        Ok(Planned::InTheWay)
    }
}

//! `driftless status --cost`: what each sync has used, month by month, and what the deployment costs while nothing changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use comfy_table::Cell;
use driftless_cost::{Deployment, Money, PriceTable, Standing};
use driftless_deltalog::head::Head;
use driftless_deltalog::registry::SyncEntry;
use driftless_model::{Month, SyncId, Usage};
use driftless_state::documents;
use serde::Serialize;

use crate::ended::Trouble;
use crate::output::{figure, right, table};
use crate::session::Session;
use crate::sync_state::head;

/// What a bill does not show, in the order of how much it may be.
const NOT_COUNTED: [&str; 5] = [
    "free tiers, discounts and taxes",
    "data sent to destinations over the internet, and NAT where you have one",
    "noncurrent versions of snapshots, the table's storage and its backups, keys of your own (KMS)",
    "ticks and messages that wrote nothing: their usage is in the functions' logs",
    "what a function did after the last write of a message, and messages that a crash repeated",
];

/// Counts and their price, as they are printed in JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Used {
    invocations: u64,
    gb_milliseconds: u64,
    rows: u64,
    bytes: u64,
    read_units: u64,
    write_units: u64,
    object_gets: u64,
    object_puts: u64,
    messages: u64,
    queue_requests: u64,
    nano_usd: Money,
    /// The same in dollars, as a decimal number.
    usd: String,
}

impl Used {
    pub(crate) fn of(prices: &PriceTable, usage: &Usage) -> Self {
        let total = prices.bill(usage).total;
        Self {
            invocations: usage.invocations,
            gb_milliseconds: usage.compute / 1_024,
            rows: usage.rows,
            bytes: usage.bytes,
            read_units: usage.read_units,
            write_units: usage.write_units,
            object_gets: usage.gets,
            object_puts: usage.puts,
            messages: usage.messages,
            queue_requests: usage.queue_requests,
            nano_usd: total,
            usd: total.exact(),
        }
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Costs {
    stage: String,
    prices: Prices,
    syncs: Vec<OfSync>,
    /// Of all syncs shown.
    months: Vec<Total>,
    fixed: Vec<Fixed>,
    fixed_total: Price,
    not_counted: [&'static str; NOT_COUNTED.len()],
}

#[derive(Debug, Serialize)]
struct Prices {
    as_of: String,
    region: String,
    note: String,
}

#[derive(Debug, Serialize)]
struct OfSync {
    sync: SyncId,
    /// Newest first.
    months: Vec<OfMonth>,
    /// The run that is going on; counted for a month when it is committed.
    active_run: Option<Used>,
}

#[derive(Debug, Serialize)]
struct OfMonth {
    month: Month,
    #[serde(flatten)]
    used: Used,
}

#[derive(Debug, Serialize)]
struct Total {
    month: Month,
    #[serde(flatten)]
    price: Price,
}

#[derive(Debug, Serialize)]
struct Fixed {
    what: &'static str,
    basis: String,
    #[serde(flatten)]
    price: Price,
}

#[derive(Clone, Debug, Serialize)]
struct Price {
    nano_usd: Money,
    usd: String,
}

impl From<Money> for Price {
    fn from(money: Money) -> Self {
        Self { nano_usd: money, usd: money.exact() }
    }
}

impl From<Standing> for Fixed {
    fn from(standing: Standing) -> Self {
        Self { what: standing.what, basis: standing.basis, price: standing.cost.into() }
    }
}

/// The price table of a file, else the one that was compiled in.
///
/// # Errors
/// [`Trouble`]: the file cannot be read, or is not a price table.
pub(crate) fn prices(file: Option<&Path>) -> anyhow::Result<PriceTable> {
    let Some(file) = file else { return Ok(PriceTable::default()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    PriceTable::parse(&text).map_err(|e| {
        Trouble::usage(format!("{}: {e}", file.display()), "shared/cost/prices/us-east-1.json has the form").into()
    })
}

/// Looks up what `entries` have used, and what is deployed.
pub(crate) async fn costs(session: &Session, entries: &[SyncEntry], prices: &PriceTable) -> anyhow::Result<Costs> {
    let mut syncs = Vec::new();
    let mut totals: BTreeMap<Month, Money> = BTreeMap::new();
    for entry in entries {
        let head = head(session, entry).await?;
        let account = head.as_ref().map(|h| h.account.clone()).unwrap_or_default();
        let months: Vec<OfMonth> =
            account.months().rev().map(|(month, usage)| OfMonth { month, used: Used::of(prices, &usage) }).collect();
        for m in &months {
            *totals.entry(m.month).or_default() += m.used.nano_usd;
        }
        let active_run = match &head {
            Some(head) => active(session, head).await?.map(|usage| Used::of(prices, &usage)),
            None => None,
        };
        syncs.push(OfSync { sync: entry.sync.clone(), months, active_run });
    }
    let fixed = prices.standing(&deployment(session).await?);
    let fixed_total: Money = fixed.iter().map(|s| s.cost).sum();
    Ok(Costs {
        stage: session.stage.to_string(),
        prices: Prices { as_of: prices.as_of.clone(), region: prices.region.clone(), note: prices.note.clone() },
        syncs,
        months: totals.into_iter().rev().map(|(month, total)| Total { month, price: total.into() }).collect(),
        fixed: fixed.into_iter().map(Fixed::from).collect(),
        fixed_total: fixed_total.into(),
        not_counted: NOT_COUNTED,
    })
}

/// What the active run has used so far: planning, and the calls that were worked on.
async fn active(session: &Session, head: &Head) -> anyhow::Result<Option<Usage>> {
    let Some(id) = &head.active_run else { return Ok(None) };
    let Some(run) = session.log.run(&head.sync, id).await? else { return Ok(None) };
    let calls = session.log.calls(&head.sync, id).await?;
    Ok(Some(run.usage + calls.iter().map(driftless_deltalog::ledger::Call::usage).sum()))
}

/// What is deployed, as far as the registry and the bucket tell.
async fn deployment(session: &Session) -> anyhow::Result<Deployment> {
    let destinations = session.log.destinations().await?;
    let mut secrets = BTreeSet::from([session.stage.hash_secret()]);
    for entry in &destinations {
        let described = documents::destination(session.objects.as_ref(), entry).await?;
        secrets.extend(described.secret_refs().into_iter().map(|s| s.name().to_owned()));
    }
    let kinds: BTreeSet<&str> = destinations.iter().map(|d| d.kind.as_str()).collect();
    let mut stored = 0;
    for prefix in ["datasets/", "history/", "changesets/", "config/"] {
        stored += session.objects.list(prefix).await?.iter().map(|found| found.object.size).sum::<u64>();
    }
    Ok(Deployment {
        destinations: destinations.len() as u64,
        kinds: kinds.len() as u64,
        secrets: secrets.len() as u64,
        syncs: session.log.syncs().await?.len() as u64,
        stored,
    })
}

impl Costs {
    /// As text: the months of each sync, the fixed part, the totals, and what is left out.
    pub(crate) fn render(&self) -> String {
        let header = [
            "sync",
            "month",
            "rows",
            "MB read",
            "GB-s",
            "read units",
            "write units",
            "gets",
            "puts",
            "messages",
            "cost",
        ];
        let mut used = table(&header);
        for of in &self.syncs {
            let months = of.months.iter().map(|m| (m.month.to_string(), &m.used));
            let now = of.active_run.iter().map(|used| ("run going on".to_owned(), used));
            let mut rows: Vec<_> = now.chain(months).collect();
            let none = Used::of(&PriceTable::default(), &Usage::default());
            if rows.is_empty() {
                rows.push(("nothing yet".to_owned(), &none));
            }
            for (month, used_in) in rows {
                used.add_row(vec![
                    Cell::new(&of.sync),
                    Cell::new(month),
                    figure(used_in.rows),
                    figure(used_in.bytes.div_ceil(1_000_000)),
                    figure(used_in.gb_milliseconds.div_ceil(1_000)),
                    figure(used_in.read_units),
                    figure(used_in.write_units),
                    figure(used_in.object_gets),
                    figure(used_in.object_puts),
                    figure(used_in.messages),
                    right(used_in.nano_usd),
                ]);
            }
        }
        let mut fixed = table(&["fixed part", "of", "a month"]);
        for line in &self.fixed {
            fixed.add_row(vec![Cell::new(line.what), Cell::new(&line.basis), right(line.price.nano_usd)]);
        }
        fixed.add_row(vec![Cell::new("together"), Cell::new(""), right(self.fixed_total.nano_usd)]);
        let mut lines = vec![used.to_string(), String::new(), fixed.to_string(), String::new()];
        for total in &self.months {
            let all = total.price.nano_usd + self.fixed_total.nano_usd;
            let counted = total.price.nano_usd;
            lines.push(format!("{}: {counted} counted and {} fixed, {all}", total.month, self.fixed_total.nano_usd));
        }
        let prices = &self.prices;
        lines.push(format!("\nPrices of {} as of {}. {}", prices.region, prices.as_of, prices.note));
        lines.push(format!("Not counted: {}.", self.not_counted.join("; ")));
        lines.join("\n")
    }

    /// The total of each month, for tests.
    #[cfg(test)]
    fn counted(&self) -> Vec<(String, String)> {
        self.months.iter().map(|t| (t.month.to_string(), crate::time::count(t.price.nano_usd.0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use driftless_deltalog::Deltalog;
    use driftless_deltalog::head::{ConfigStamp, Names};
    use driftless_model::Millis;
    use driftless_objects::Objects;

    use super::*;
    use crate::session::testing::session;
    use crate::time::count;

    fn entry(name: &str) -> SyncEntry {
        SyncEntry {
            sync: name.parse().unwrap(),
            dataset: "acme/customers".parse().unwrap(),
            destination: "crm".parse().unwrap(),
            incarnation: 1,
            names: Names {
                dataset: "acme/customers".parse().unwrap(),
                source: "s3://bucket/datasets/acme/customers/".into(),
                kind: "rest".into(),
                destination: "crm".parse().unwrap(),
                list: name.into(),
            },
            config: ConfigStamp { epoch: 1, fingerprint: "f".into() },
            object: "config/s".into(),
            paused: false,
            applied_at: Millis(1),
            revision: 1,
        }
    }

    async fn charged(log: &dyn Deltalog, entry: &SyncEntry, months: i64) {
        let new = Head::new(entry.sync.clone(), 1, entry.names.clone(), entry.config.clone());
        let _ = log.create_head(&new).await.unwrap();
        for n in 0..months {
            let head = log.head(&entry.sync).await.unwrap().unwrap();
            let usage = Usage { read_units: 1_000_000, rows: 7, ..Usage::default() };
            log.charge(&head, usage, Millis(1_767_592_800_000 + n * 31 * 86_400_000));
            let attention = driftless_deltalog::head::Attention { reason: format!("{n}"), since: Millis(n) };
            log.set_attention(&entry.sync, 1, Some(&attention)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn each_sync_and_month_has_its_units_and_money_and_the_fixed_part_is_added() {
        let (session, stores) = session();
        let entries = [entry("a"), entry("b"), entry("c")];
        for e in &entries {
            let _ = session.log.put_sync(e).await.unwrap();
        }
        charged(session.log.as_ref(), &entries[0], 2).await;
        charged(session.log.as_ref(), &entries[1], 1).await;
        let _ = stores.objects.create("history/a/x", vec![0_u8; 5_000_000].into()).await.unwrap();
        let costs = costs(&session, &entries, &PriceTable::default()).await.unwrap();
        // A read unit is 125 nano-dollars, and each write of a head 625.
        let january = 2 * (125_000_000 + 625);
        assert_eq!(costs.counted(), [("2026-02".into(), "125,000,625".into()), ("2026-01".into(), count(january))]);
        let json = serde_json::to_value(&costs).unwrap();
        assert_eq!(json["syncs"][0]["months"][0]["month"], "2026-02");
        assert_eq!(json["syncs"][0]["months"][0]["read_units"], 1_000_000);
        assert_eq!(json["syncs"][0]["months"][0]["usd"], "0.125000625");
        assert_eq!(json["syncs"][2]["months"].as_array().unwrap().len(), 0);
        let fixed: u64 = json["fixed"].as_array().unwrap().iter().map(|f| f["nano_usd"].as_u64().unwrap()).sum();
        assert_eq!(json["fixed_total"]["nano_usd"], fixed);
        assert_eq!(json["prices"]["region"], "us-east-1");
        let text = costs.render();
        for part in ["nothing yet", "$0.1250", "alarms", "5 MB now", "us-east-1 as of 2026-", "Not counted: free tiers"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn prices_of_ones_own_are_read_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prices.json");
        assert!(prices(Some(&file)).unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&file, "{}").unwrap();
        let error = prices(Some(&file)).unwrap_err().to_string();
        assert!(error.contains("prices.json") && error.contains("as_of"), "{error}");
        let ours = include_str!("../../shared/cost/prices/us-east-1.json").replace("us-east-1", "eu-central-1");
        std::fs::write(&file, ours).unwrap();
        assert_eq!(prices(Some(&file)).unwrap().region, "eu-central-1");
        assert_eq!(prices(None).unwrap().region, "us-east-1");
    }
}

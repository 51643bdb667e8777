use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::Ended;
use crate::args::Global;
use crate::output::show;
use crate::progress::Progress;
use crate::sample::{population, write};
use crate::time::count;

/// Make a snapshot of made-up customers.
///
/// The same options give the same file. Generation N is generation 0 after N rounds of churn, in each of which three tenths
/// of the share leave, three tenths join and four tenths change. Columns: `customer_id`, `email`, `first_name`, `last_name`, `phone`,
/// `city`, `country`, `ltv`, `orders`, `consent`, `last_seen`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless sample --out week-0.parquet
  driftless sample --rows 1000000 --churn 1% --generation 1 --out week-1.parquet")]
pub(crate) struct Sample {
    /// How many customers.
    #[arg(long, default_value_t = 20_000)]
    rows: u64,
    /// The share of customers that each round moves: 0.05 or 5%.
    #[arg(long, default_value = "5%", value_parser = share)]
    churn: f64,
    /// Another seed makes other customers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many rounds of churn.
    #[arg(long, visible_alias = "week", default_value_t = 0)]
    generation: u32,
    /// The Parquet file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn share(text: &str) -> Result<f64, String> {
    let (number, of) = text.strip_suffix('%').map_or((text, 1.0), |n| (n, 100.0));
    let share = number.trim().parse::<f64>().map_err(|_| "write 0.05 or 5%".to_owned())? / of;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is between 0 and 1, or 0% and 100%".to_owned()) }
}

impl Sample {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Ended> {
        let progress = Progress::spinner("making customers");
        let people = population(self.rows, self.churn, self.seed, self.generation);
        let rows = people.len() as u64;
        write(&self.out, self.seed, &people, |done| progress.of(done, rows))?;
        drop(progress);
        let out = self.out.display().to_string();
        show(global.json, &json!({ "file": out, "rows": rows }), || format!("{out}: {} customers", count(rows)))?;
        Ok(Ended::Well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_fraction_or_a_percentage() {
        assert_eq!((share("0.05"), share("5%"), share("100%")), (Ok(0.05), Ok(0.05), Ok(1.0)));
        assert!(share("5").is_err() && share("-1%").is_err() && share("x").is_err());
    }
}

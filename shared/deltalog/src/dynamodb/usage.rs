//! The account of a sync in its head: how it is stored, and how it is charged with a write that is made anyway.
//!
//! The month that goes on is one small number for each figure, so that writers which do not exclude each other add to it at the
//! same time; the months before it are one packed value, written when a month begins. All of it is outside of every condition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use driftless_model::{Meter, Millis, Month, SyncId, Usage};

use super::DynamoDeltalog;
use super::attribute::{Attributes, n};
use super::head::{UPDATE, encode};
use super::key;
use super::table::{Change, Table, Write};
use super::units::{item_size, write_units};
use crate::Result;
use crate::head::account::{pack, unpack};
use crate::head::{Account, Head};

/// The month that goes on.
const MONTH: &str = "u";
/// The months before it.
const CLOSED: &str = "uz";
/// Its figures, in the order of [`Usage::figures`].
const FIGURES: [&str; Usage::FIGURES] = ["ui", "uc", "un", "ub", "ur", "uw", "ug", "up", "um", "uq"];

/// The attributes of an account; none of one that was never charged.
pub(super) fn encode_account(account: &Account) -> Attributes {
    let Some((month, usage)) = account.current() else { return Attributes::new() };
    let figures = FIGURES.iter().zip(usage.figures()).filter(|(_, figure)| *figure > 0);
    let mut item: Attributes = figures.map(|(name, figure)| ((*name).to_owned(), n(figure))).collect();
    item.insert(MONTH.to_owned(), n(month.number()));
    let closed = pack(account.months().rev().skip(1));
    if !closed.is_empty() {
        item.insert(CLOSED.to_owned(), AttributeValue::B(Blob::new(closed)));
    }
    item
}

/// What the attributes say. What is missing or has another form counts as nothing: a head must stay readable.
pub(super) fn decode_account(item: &Attributes) -> Account {
    let number = |name: &str| item.get(name).and_then(|v| v.as_n().ok()).and_then(|digits| digits.parse::<u64>().ok());
    let closed = item.get(CLOSED).and_then(|v| v.as_b().ok()).map(|b| unpack(b.as_ref())).unwrap_or_default();
    let month = number(MONTH).and_then(|m| u32::try_from(m).ok()).and_then(|m| Month::try_from(m).ok());
    let current = month.map(|month| (month, Usage::of(FIGURES.map(|name| number(name).unwrap_or_default()))));
    Account::of(closed.into_iter().chain(current))
}

/// Units of a write of this head, as it stands.
pub(crate) fn head_units(head: &Head) -> u64 {
    encode(head).map_or(1, |item| write_units(item_size(&item)))
}

/// What waits for the next write of a sync's head.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    month: Month,
    usage: Usage,
    /// The account as the writer read it.
    account: Account,
    /// What the write that carries it takes itself, by the size of the head as it was read.
    own: u64,
}

/// By sync; shared by the clones of a store.
#[derive(Clone, Debug, Default)]
pub(super) struct Charges(Arc<Mutex<BTreeMap<SyncId, Charge>>>);

impl Charges {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SyncId, Charge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, head: &Head, usage: Usage, at: Millis) {
        let mut charges = self.lock();
        let waiting = charges.get(&head.sync).map(|c| c.usage).unwrap_or_default();
        let charge = Charge {
            month: Month::of(at),
            usage: waiting + usage,
            account: head.account.clone(),
            own: head_units(head),
        };
        charges.insert(head.sync.clone(), charge);
    }

    fn take(&self, sync: &SyncId) -> Option<Charge> {
        self.lock().remove(sync)
    }
}

impl Charge {
    /// As assignments of an update.
    fn write_into(&self, change: Change) -> Change {
        let usage = self.usage + Usage { write_units: self.own, ..Usage::default() };
        let newest = self.account.current().map(|(month, _)| month);
        let begins = newest.is_some_and(|newest| newest < self.month);
        let month = newest.map_or(self.month, |newest| newest.max(self.month));
        let mut assignments = vec![format!("#{MONTH} = :{MONTH}")];
        let mut values = vec![(MONTH, n(month.number()))];
        for (name, figure) in FIGURES.into_iter().zip(usage.figures()) {
            if begins {
                assignments.push(format!("#{name} = :{name}"));
            } else if figure > 0 {
                assignments.push(format!("#{name} = if_not_exists(#{name}, :u0) + :{name}"));
            } else {
                continue;
            }
            values.push((name, n(figure)));
        }
        if begins {
            let closed = pack(self.account.months().rev().take(Account::MONTHS - 1));
            assignments.push(format!("#{CLOSED} = :{CLOSED}"));
            values.push((CLOSED, AttributeValue::B(Blob::new(closed))));
        } else if values.len() > 1 {
            values.push(("u0", n(0)));
        }
        let change = change.also(&assignments.join(", "));
        values.into_iter().fold(change, |change, (name, value)| change.value(&format!(":{name}"), value))
    }
}

impl DynamoDeltalog {
    /// An update of the head, with what waits for it. The charge changes nothing else of what is written or asked.
    pub(super) async fn update_head(&self, sync: &SyncId, change: Change, whole: bool) -> Result<Write> {
        let returned = if whole { ReturnValue::AllNew } else { ReturnValue::None };
        let key = key::head(sync);
        let Some(charge) = self.charges.take(sync) else {
            return self.table.update(UPDATE, &key, change, returned).await;
        };
        // The write's own units are in the charge that it carries.
        let unmetered = Table { meter: Meter::default(), ..self.table.clone() };
        let written = unmetered.update(UPDATE, &key, charge.write_into(change), returned).await;
        if matches!(written, Ok(Write::Refused(_))) {
            self.table.meter.count(Usage { write_units: charge.own, ..Usage::default() });
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::example;

    fn month(number: u32) -> Month {
        Month::try_from(number).unwrap()
    }

    fn usage(n: u64) -> Usage {
        Usage { invocations: 1, compute: n << 20, rows: n * 100, bytes: n << 12, read_units: n, ..Usage::default() }
    }

    #[test]
    fn an_account_is_read_back_and_a_head_without_one_is_readable() {
        let mut account = Account::default();
        assert!(encode_account(&account).is_empty());
        assert_eq!(decode_account(&Attributes::new()), account);
        for number in 202_601..=202_612 {
            account.charge(month(number), usage(u64::from(number)));
            assert_eq!(decode_account(&encode_account(&account)), account);
        }
        let odd = Attributes::from([
            (MONTH.to_owned(), super::super::attribute::s("soon")),
            ("uw".to_owned(), n("-1")),
            (CLOSED.to_owned(), AttributeValue::B(Blob::new([0x80]))),
        ]);
        assert_eq!(decode_account(&odd), Account::default());
    }

    #[test]
    fn a_year_of_accounts_takes_less_than_half_a_kilobyte() {
        let mut head = example::new_head("billed");
        let before = item_size(&encode(&head).unwrap());
        let busy = Usage::of([100, 400 * 1_024_000, 4_000_000, 160_000_000, 60_000, 86_600, 900, 40, 400, 900]);
        head.account.charge(month(202_501), busy);
        let month_one = item_size(&encode(&head).unwrap()) - before;
        assert!(month_one <= 100, "{month_one} bytes for the first month");
        for number in (202_502..=202_512).chain(202_601..=202_608) {
            head.account.charge(month(number), busy);
        }
        let year = item_size(&encode(&head).unwrap()) - before;
        assert!(year <= 480, "{year} bytes for all months");
    }

    #[test]
    fn the_month_that_goes_on_is_added_to_and_a_new_one_closes_it() {
        let mut head = example::new_head("billed");
        head.account.charge(month(202_611), usage(5));
        let charges = Charges::default();
        let write = |at: i64| {
            charges.add(&head, usage(1), Millis(at));
            let charge = charges.take(&head.sync).unwrap();
            charge.write_into(Change::new("REMOVE #active_run", "#active_run = :run", []))
        };
        let november = write(1_796_083_199_999);
        assert!(november.update.starts_with("SET #u = :u, #ui = if_not_exists(#ui, :u0) + :ui"), "{}", november.update);
        assert!(november.update.ends_with("+ :uw REMOVE #active_run"), "{}", november.update);
        assert_eq!(november.condition, "#active_run = :run", "no condition reads it");
        assert_eq!(november.values[":uw"], n(1), "the write itself");
        let december = write(1_796_083_200_000);
        assert!(december.update.contains("#uw = :uw") && !december.update.contains("if_not_exists"));
        assert_eq!(december.values[":u"], n(202_612));
        assert_eq!(december.values[":uq"], n(0), "the figures begin anew");
        let closed = december.values[":uz"].as_b().unwrap();
        assert_eq!(unpack(closed.as_ref()), [(month(202_611), usage(5))]);
        let late = write(1_793_400_000_000);
        assert_eq!(late.values[":u"], n(202_611), "October is over");
    }
}

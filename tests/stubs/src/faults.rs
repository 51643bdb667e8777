//! The fault layer that stands before every stub: what goes wrong with a request, decided in one place.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use driftless_connector::conformance::Fault;

use driftless_testkit::Random;

use crate::{Does, Got};

/// The faults of one stub. Clones share them.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Met by the next data request.
    once: Option<Fault>,
    /// Met by every request.
    lasting: Option<Fault>,
    bad: Bad,
    storm: Option<Storm>,
    met: u32,
}

/// The records that a stub refuses, by name.
#[derive(Clone, Debug, Default)]
pub struct Bad {
    names: BTreeSet<String>,
    /// Answers that list records list them in another order than the request.
    pub reordered: bool,
}

/// Faults at random.
struct Storm {
    random: Random,
    percent: u64,
    of: Vec<Fault>,
}

/// How a destination says what goes wrong.
#[derive(Clone, Copy)]
pub struct Dialect {
    pub throttled: fn(Option<u64>) -> Does,
    pub server_error: fn() -> Does,
    pub unavailable: fn() -> Does,
    pub login_expired: fn() -> Does,
    pub login_gone: fn() -> Does,
    /// `None`: a request of this kind does not tell a list that is gone.
    pub list_gone: fn(&Got) -> Option<Does>,
}

impl Default for Dialect {
    /// By HTTP status.
    fn default() -> Self {
        Self {
            throttled: |after| {
                let answer = Does::status(429);
                match after {
                    Some(seconds) => answer.with("retry-after", seconds.to_string()),
                    None => answer,
                }
            },
            server_error: || Does::status(500),
            unavailable: || Does::status(503),
            login_expired: || Does::status(401),
            login_gone: || Does::status(403),
            list_gone: |_| Some(Does::status(404)),
        }
    }
}

impl Bad {
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

impl Faults {
    /// What [`driftless_connector::conformance::Remote::inject`] asks for.
    pub fn inject(&self, fault: Option<Fault>) {
        let mut state = self.0.lock().unwrap();
        match fault {
            None => (state.once, state.lasting, state.bad) = (None, None, Bad::default()),
            Some(Fault::Refuse(names)) => state.bad = Bad { names, reordered: false },
            Some(Fault::RefuseReordered(names)) => state.bad = Bad { names, reordered: true },
            Some(fault) if fault.lasts() => state.lasting = Some(fault),
            Some(fault) => state.once = Some(fault),
        }
    }

    /// From now on, so many of 100 data requests meet one of these faults, drawn from a seed. Faults that last are met once.
    pub fn storm(&self, seed: u64, percent: u64, of: Vec<Fault>) {
        self.0.lock().unwrap().storm = Some(Storm { random: Random::new(seed), percent, of });
    }

    pub fn calm(&self) {
        self.0.lock().unwrap().storm = None;
    }

    /// How many faults were met so far.
    pub fn met(&self) -> u32 {
        self.0.lock().unwrap().met
    }

    /// What a request that changes nothing meets: only what lasts.
    pub fn on_read(&self, dialect: &Dialect, got: &Got) -> Option<Does> {
        let state = self.0.lock().unwrap();
        refusal(dialect, got, state.lasting.as_ref()?)
    }

    /// What a data request meets. `apply` does what the request asks for, but for the records that it finds bad, and answers.
    pub fn on_change(&self, dialect: &Dialect, got: &Got, apply: impl FnOnce(&Bad) -> Does) -> Does {
        let (fault, bad) = {
            let mut state = self.0.lock().unwrap();
            let fault = state.lasting.clone().or_else(|| state.once.take()).or_else(|| state.storm.as_mut()?.next());
            state.met += u32::from(fault.is_some());
            (fault, state.bad.clone())
        };
        let Some(fault) = fault else { return apply(&bad) };
        if let Some(refused) = refusal(dialect, got, &fault) {
            return refused;
        }
        let answer = apply(&bad);
        match fault {
            Fault::LoseAnswer => Does::Cuts,
            Fault::CutAnswer => answer.cut(),
            Fault::Slow => Does::Waits,
            Fault::Endless => answer.endless(),
            Fault::WrongType => answer.typed("text/html; charset=utf-8"),
            Fault::Miscounted => answer.shortened(),
            _ => answer,
        }
    }
}

impl Storm {
    fn next(&mut self) -> Option<Fault> {
        if self.random.percent(self.percent) { self.random.pick(&self.of).cloned() } else { None }
    }
}

/// The answer of a request that is not applied; `None` if the fault lets it be applied.
fn refusal(dialect: &Dialect, got: &Got, fault: &Fault) -> Option<Does> {
    Some(match fault {
        Fault::Throttle(after) => (dialect.throttled)(*after),
        Fault::ServerError => (dialect.server_error)(),
        Fault::Unavailable => (dialect.unavailable)(),
        Fault::LoseRequest => Does::Cuts,
        Fault::Garbage => {
            let page = b"<!doctype html><title>Sign in to the guest network</title>".to_vec();
            Does::Answers(200, vec![("content-type", "text/html".into())], page)
        }
        Fault::LoginExpired => (dialect.login_expired)(),
        Fault::LoginGone => (dialect.login_gone)(),
        Fault::ListGone => return (dialect.list_gone)(got),
        _ => return None,
    })
}

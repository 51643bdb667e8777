//! An HTTP API described in configuration: requests are templates, answers are read by rules. Nothing here knows any API.

mod classify;
mod connector;
mod list;
mod lookup;
mod request;
mod template;

use core::time::Duration;

use driftless_config::destination::{Batch as Size, RestDestination, RestOperation};
use driftless_model::Operation;

use crate::{
    Acknowledges, BuildError, Capabilities, Limits, Secrets,
    http::{Http, HttpPolicy},
};
use classify::Classifier;
use list::Listing;
use lookup::Finder;
use request::{Parts, Request};
use template::{Book, Templates};

/// A list behind an HTTP API.
pub(crate) struct Rest {
    capabilities: Capabilities,
    http: Http,
    templates: Templates,
    list: String,
    timeout: Duration,
    /// The most bytes of an answer that lists members.
    list_bytes: usize,
    add: Option<Way>,
    /// Absent where updates go out as adds.
    update: Option<Way>,
    remove: Option<Way>,
    finder: Option<Finder>,
    listing: Option<Listing>,
}

/// How one operation is done.
struct Way {
    request: Request,
    classifier: Classifier,
    size: Size,
    /// The second request for the records with which the first one went through.
    then: Option<Box<Way>>,
}

pub(crate) fn capabilities(config: &RestDestination) -> Capabilities {
    let limits = |operation| {
        let size = config.batch_of(config.operation(operation)?);
        Some(Limits { records: size.records, bytes: size.bytes })
    };
    let mut operations = [&config.add, &config.update, &config.remove].into_iter().flatten();
    let per_record = operations
        .all(|op| Classifier::new(config.answer_of(op), config.batch_of(op).records.get() == 1, true).per_record());
    Capabilities {
        add: limits(Operation::Add),
        update: limits(Operation::Update),
        remove: limits(Operation::Remove),
        list: config.list.is_some(),
        acknowledges: if per_record { Acknowledges::Record } else { Acknowledges::Batch },
        repeatable: config.repeatable,
        rate: config.rate,
        ..Capabilities::default()
    }
}

impl Rest {
    pub(crate) fn new(
        config: &RestDestination,
        list: &str,
        secrets: &dyn Secrets,
        policy: HttpPolicy,
    ) -> Result<Self, BuildError> {
        let mut book = Book::new();
        let add = Way::compile(&mut book, "add", config, config.add.as_ref())?;
        let update = Way::compile(&mut book, "update", config, config.update.as_ref())?;
        let remove = Way::compile(&mut book, "remove", config, config.remove.as_ref())?;
        let finder = config
            .lookup
            .as_ref()
            .map(|l| Finder::compile(&mut book, &config.headers, &config.answer, l))
            .transpose()?;
        let listing = config
            .list
            .as_ref()
            .map(|l| Listing::compile(&mut book, &config.headers, &config.answer, l))
            .transpose()?;
        let most = config.list.as_ref().and_then(|list| usize::try_from(list.max_bytes?.get()).ok());
        Ok(Self {
            capabilities: capabilities(config),
            http: Http::new(&config.base_url, &config.auth, secrets, policy)?,
            templates: book.finish(),
            list: list.to_owned(),
            timeout: config.timeout.into(),
            list_bytes: most.unwrap_or(policy.max_answer_bytes),
            add,
            update,
            remove,
            finder,
            listing,
        })
    }

    /// The same, of which it is known which normalisation its identifiers want.
    pub(crate) fn wanting(mut self, normalisation: &'static [(&'static str, &'static str)]) -> Self {
        self.capabilities.normalisation = normalisation;
        self
    }

    fn way(&self, operation: Operation) -> Option<&Way> {
        match operation {
            Operation::Add => self.add.as_ref(),
            Operation::Update => self.update.as_ref().or(self.add.as_ref()),
            Operation::Remove => self.remove.as_ref(),
            Operation::Inspect | Operation::Prepare | Operation::List | Operation::Clear => None,
        }
    }

    /// The operation for a record that turned out to be there already, or not to be there.
    fn other_way(&self, operation: Operation) -> Option<Operation> {
        match operation {
            Operation::Add if self.update.is_some() => Some(Operation::Update),
            Operation::Update if self.update.is_some() && self.add.is_some() => Some(Operation::Add),
            _ => None,
        }
    }
}

impl Way {
    fn compile(
        book: &mut Book,
        key: &str,
        config: &RestDestination,
        operation: Option<&RestOperation>,
    ) -> Result<Option<Self>, BuildError> {
        operation.map(|operation| Self::compile_one(book, key, config, operation)).transpose()
    }

    fn compile_one(
        book: &mut Book,
        key: &str,
        config: &RestDestination,
        operation: &RestOperation,
    ) -> Result<Self, BuildError> {
        let size = config.batch_of(operation);
        let parts = Parts {
            key,
            method: operation.method,
            path: &operation.path,
            query: &operation.query,
            common: &config.headers,
            headers: &operation.headers,
            body: operation.body.as_ref(),
        };
        let classifier = Classifier::new(config.answer_of(operation), size.records.get() == 1, config.all_or_nothing);
        let request = Request::compile(book, &parts)?;
        let step = operation.then.as_ref().map(driftless_config::destination::RestStep::operation);
        let then = step.map(|step| Self::compile_one(book, &format!("{key}.then"), config, &step)).transpose()?;
        Ok(Self { request, classifier, size, then: then.map(Box::new) })
    }
}

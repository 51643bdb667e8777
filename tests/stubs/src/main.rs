//! Every stub on one port of loopback: `driftless-stubs --port N`.
//!
//! A kind's service lies below `/KIND/`, so that is what its `base_url` ends in. Beside them, for tests:
//!
//! | request | is |
//! |---|---|
//! | `GET /control` | the kinds |
//! | `GET /control/KIND` | `{"members": {name: first name}, "requests": [...], "faults": n, "events": [...]}` |
//! | `PUT /control/KIND/members` | somebody else's change: `{"put": {name: first name}, "take": [name]}` |
//! | `POST /control/KIND/fault` | what the next change meets: `{"fault": "throttle"}`, or `unavailable`, `lose_answer` |

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, bail};
use driftless_connector::conformance::Fault;
use driftless_stubs::{
    Does, Got, List, Server,
    faults::Faults,
    google::UserList,
    hubspot, klaviyo,
    meta::Audience,
    receiver::Receiver,
    recipes::{braze, iterable, linkedin, mailchimp, tiktok},
};
use serde_json::{Value, json};

type Answer = Box<dyn Fn(&Got) -> Does + Send + Sync>;

/// The service of one kind.
struct Service {
    answer: Answer,
    list: Listed,
    faults: Faults,
    /// Events that a receiver applied.
    events: Arc<Mutex<Vec<Value>>>,
    /// Method and target of every request.
    requests: Mutex<Vec<String>>,
}

/// Where a service keeps its members.
enum Listed {
    Names(List),
    Contacts(hubspot::Shared),
}

/// The list of the `HubSpot` account.
const CONTACTS: &str = "news";

impl Service {
    fn of(list: &List, answer: impl Fn(&Got) -> Does + Send + Sync + 'static) -> Self {
        Self {
            answer: Box::new(answer),
            faults: list.faults.clone(),
            list: Listed::Names(list.clone()),
            events: Arc::default(),
            requests: Mutex::default(),
        }
    }

    fn recipe(answer: fn(&List, &Got) -> Does) -> Self {
        let list = List::default();
        Self::of(&list.clone(), move |got| answer(&list, got))
    }

    fn members(&self) -> BTreeMap<String, String> {
        match &self.list {
            Listed::Names(list) => list.members().clone(),
            Listed::Contacts(account) => account.lock().expect("no stub panics").first_names(CONTACTS),
        }
    }

    /// Somebody else puts members into the list, and takes others out.
    fn change(&self, body: &Value) {
        let put = body["put"].as_object().cloned().unwrap_or_default();
        let put = put.into_iter().map(|(name, first_name)| (name, first_name.as_str().unwrap_or_default().to_owned()));
        let take: Vec<&str> = body["take"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match &self.list {
            Listed::Names(list) => {
                let mut members = list.members();
                members.extend(put);
                members.retain(|name, _| !take.contains(&name.as_str()));
            }
            Listed::Contacts(account) => {
                let mut account = account.lock().expect("no stub panics");
                put.for_each(|(email, first_name)| account.put(CONTACTS, &email, &first_name));
                take.into_iter().for_each(|email| account.take(CONTACTS, email));
            }
        }
    }

    fn told(&self) -> Value {
        json!({
            "members": self.members(),
            "requests": *self.requests.lock().expect("no stub panics"),
            "faults": self.faults.met(),
            "events": *self.events.lock().expect("no stub panics"),
        })
    }
}

fn services() -> BTreeMap<&'static str, Service> {
    let (audience, users, profiles) = (Audience::default(), UserList::default(), klaviyo::Account::default());
    let (contacts, receiver) = (hubspot::Service::default(), Receiver::new(List::default(), 500));
    [
        ("meta", Service::of(&audience.list.clone(), move |got| audience.answer(got))),
        ("google_data_manager", Service::of(&users.list.clone(), move |got| users.answer(got))),
        ("klaviyo", Service::of(&profiles.list.clone(), move |got| profiles.answer(got))),
        (
            "hubspot",
            Service {
                list: Listed::Contacts(Arc::clone(&contacts.account)),
                faults: contacts.faults.clone(),
                ..Service::of(&List::default(), move |got| contacts.answer(got))
            },
        ),
        (
            "webhook",
            Service {
                events: Arc::clone(&receiver.events),
                ..Service::of(&receiver.list.clone(), move |got| receiver.answer(got))
            },
        ),
        ("mailchimp", Service::recipe(mailchimp::answer)),
        ("iterable", Service::recipe(iterable::answer)),
        ("linkedin", Service::recipe(linkedin::answer)),
        ("tiktok", Service::recipe(tiktok::answer)),
        ("braze", Service::recipe(braze::answer)),
    ]
    .into()
}

fn answer(services: &BTreeMap<&'static str, Service>, got: &Got) -> Does {
    let steps: Vec<&str> = got.path().trim_matches('/').split('/').collect();
    match (got.method.as_str(), steps.as_slice()) {
        ("GET", ["control"]) => Does::json(200, &json!(services.keys().collect::<Vec<_>>())),
        (method, ["control", kind, rest @ ..]) => match services.get(kind) {
            Some(service) => control(service, method, rest, &got.json()),
            None => Does::status(404),
        },
        (_, [kind, ..]) => match services.get(kind) {
            Some(service) => {
                let below = got.target.trim_start_matches('/').trim_start_matches(kind);
                let target = if below.starts_with('/') { below.to_owned() } else { format!("/{below}") };
                service.requests.lock().expect("no stub panics").push(format!("{} {target}", got.method));
                (service.answer)(&Got { target, ..got.clone() })
            }
            None => Does::status(404),
        },
        _ => Does::status(404),
    }
}

fn control(service: &Service, method: &str, rest: &[&str], body: &Value) -> Does {
    match (method, rest) {
        ("GET", []) => Does::json(200, &service.told()),
        ("PUT", ["members"]) => {
            service.change(body);
            Does::status(204)
        }
        ("POST", ["fault"]) => {
            let fault = match body["fault"].as_str() {
                Some("throttle") => Fault::Throttle(Some(1)),
                Some("unavailable") => Fault::Unavailable,
                Some("lose_answer") => Fault::LoseAnswer,
                _ => return Does::status(400),
            };
            service.faults.inject(Some(fault));
            Does::status(204)
        }
        _ => Does::status(404),
    }
}

/// The port that is asked for.
fn port() -> anyhow::Result<u16> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [name, port] if name == "--port" => port.parse().context("a port is a number"),
        _ => bail!("driftless-stubs --port N"),
    }
}

#[tokio::main]
#[allow(clippy::print_stdout)]
async fn main() -> anyhow::Result<()> {
    let services = services();
    let server = Server::on(port()?, move |got, _| answer(&services, got)).await;
    println!("{}", server.url);
    std::future::pending().await
}

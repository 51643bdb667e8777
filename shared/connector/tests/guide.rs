//! The destinations that the guide shows can be used as they stand, and the API that it describes is kept equal by its description
//! alone.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use driftless_config::{Destination, SecretRef};
use driftless_connector::{
    Connector, HttpPolicy, MissingSecret, Open, Secrets, build,
    conformance::{Manners, Person},
};
use driftless_model::Operation;
use serde_json::{Value, json};
use support::{
    Does, Got, Server, connector, deliver, destination,
    faults::Dialect,
    letters,
    list::{Kind, List, Running},
    local, row_of,
};

/// Has every secret.
struct Any;

impl Secrets for Any {
    fn secret(&self, _: &SecretRef) -> Result<secrecy::SecretString, MissingSecret> {
        Ok("s3cr3t".to_owned().into())
    }
}

/// The whole destinations of the guide, in order.
fn shown() -> Vec<&'static str> {
    let guide = include_str!("../../../docs/connector-guide.md");
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.starts_with("version: 1")).collect()
}

#[test]
fn every_whole_destination_in_the_guide_can_be_built() {
    let whole = shown();
    assert_eq!(whole.len(), 4);
    for yaml in whole {
        let destination = Destination::from_yaml(yaml).unwrap_or_else(|error| panic!("{error}"));
        if let Err(error) = build(&destination, "news", &Any, HttpPolicy::default()) {
            panic!("{error}");
        }
    }
}

/// A destination of the guide, on a stub.
fn on(yaml: &str, server: &Server) -> Box<dyn Connector> {
    let (from, rest) = yaml.split_once("base_url: ").expect("a root of URLs");
    let (_, after) = rest.split_once('\n').expect("a line");
    let yaml = format!("{from}base_url: {}\n{after}", server.url);
    build(&destination(&yaml), "shop", &Any, local()).unwrap_or_else(|error| panic!("{error}"))
}

/// The contacts of the API that the guide quotes, by id.
#[derive(Clone, Default)]
struct Contacts(Arc<Mutex<(u64, BTreeMap<u64, String>)>>);

impl Contacts {
    fn id_of(&self, email: &str) -> Option<u64> {
        self.0.lock().unwrap().1.iter().find_map(|(id, known)| (known == email).then_some(*id))
    }

    fn email_of(&self, id: &str) -> Option<String> {
        self.0.lock().unwrap().1.get(&id.parse().ok()?).cloned()
    }

    fn insert(&self, email: &str) -> u64 {
        let mut contacts = self.0.lock().unwrap();
        contacts.0 += 1;
        let id = contacts.0;
        contacts.1.insert(id, email.to_owned());
        id
    }

    fn remove(&self, id: &str) {
        if let Ok(id) = id.parse() {
            self.0.lock().unwrap().1.remove(&id);
        }
    }
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// The API as the guide quotes its documentation.
async fn mailer(list: List) -> Server {
    let contacts = Contacts::default();
    let dialect = Dialect {
        // A contact that is not there is answered in the same way.
        list_gone: |got| (got.method == "POST").then(|| Does::status(404)),
        ..Dialect::default()
    };
    Server::start(move |got: &Got, _| {
        if got.header("x-key") != Some("s3cr3t") {
            return Does::status(401);
        }
        let query = pairs(got.target.split_once('?').map_or("", |(_, query)| query));
        let steps: Vec<&str> = got.path().split('/').skip(1).collect();
        match (got.method.as_str(), steps.as_slice()) {
            ("GET", ["contacts"]) => {
                let found = contacts.id_of(&query["email"]).map(|id| json!({ "id": id }));
                let found: Vec<Value> = found.into_iter().collect();
                list.faults.on_read(&dialect, got).unwrap_or(Does::json(200, &json!({ "contacts": found })))
            }
            ("GET", ["audiences", "shop", "contacts"]) => {
                let after: u64 = query.get("after").map_or(0, |after| after.parse().unwrap());
                let all = contacts.0.lock().unwrap().1.clone();
                let page: Vec<(&u64, &String)> = all.range(after + 1..).take(10).collect();
                let next =
                    page.last().filter(|(id, _)| all.range(**id + 1..).next().is_some()).map(|(id, _)| id.to_string());
                let page: Vec<Value> = page.iter().map(|(id, email)| json!({ "id": id, "email": email })).collect();
                let answer = json!({ "contacts": page, "paging": { "next": next } });
                list.faults.on_read(&dialect, got).unwrap_or(Does::json(200, &answer))
            }
            ("POST", ["audiences", "shop", "contacts"]) => list.faults.on_change(&dialect, got, |bad| {
                let form = pairs(&String::from_utf8_lossy(&got.body));
                let email = &form["email"];
                if bad.has(email) {
                    return Does::json(422, &json!({ "error": "invalid_email" }));
                }
                if contacts.id_of(email).is_some() {
                    return Does::status(409);
                }
                list.members().insert(email.clone(), form["first_name"].clone());
                Does::json(201, &json!({ "id": contacts.insert(email) }))
            }),
            ("PUT", ["contacts", id]) => list.faults.on_change(&dialect, got, |_| match contacts.email_of(id) {
                Some(email) => {
                    let name = got.json()["first_name"].as_str().unwrap().to_owned();
                    list.members().insert(email, name);
                    Does::status(200)
                }
                None => Does::status(404),
            }),
            ("DELETE", ["audiences", "shop", "contacts", id]) => {
                list.faults.on_change(&dialect, got, |_| match contacts.email_of(id) {
                    Some(email) => {
                        contacts.remove(id);
                        list.members().remove(&email);
                        Does::status(204)
                    }
                    None => Does::status(404),
                })
            }
            _ => Does::status(405),
        }
    })
    .await
}

async fn running(list: List) -> Running {
    let server = mailer(list).await;
    let connector = on(shown()[0], &server);
    (server, connector)
}

fn kind() -> Kind {
    Kind {
        manners: Manners { reads_answers: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(running(list)))
    }
}

#[tokio::test]
async fn the_api_of_the_guide_conforms() {
    kind().conforms().await;
}

#[tokio::test]
async fn the_api_of_the_guide_converges() {
    kind().converges().await;
}

/// The walk of the guide: people are added, one of them changes, one leaves, and the list is read and compared with what was sent.
#[tokio::test]
async fn the_list_of_the_guide_is_added_to_updated_removed_from_listed_and_compared() {
    let list = List::default();
    let server = mailer(list.clone()).await;
    let connector = on(shown()[0], &server);
    let people: Vec<_> = (0..25).map(|number| (number, row_of(&Person::numbered(number)))).collect();
    assert_eq!(letters(&deliver(&*connector, Operation::Add, &people).await), "D".repeat(25));

    // Who is there already is looked up, and updated.
    let renamed = Person { first_name: "Ada".into(), ..Person::numbered(3) };
    let again = [(3, row_of(&renamed))];
    let driven = deliver(&*connector, Operation::Add, &again).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("D", 3), "add, look up, update");
    assert_eq!(list.members()[&renamed.email], "Ada");
    let driven = deliver(&*connector, Operation::Remove, &people[..2]).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("DD", 4), "look up, remove");
    // Gone already: nobody is found, so there is nothing to be removed.
    let driven = deliver(&*connector, Operation::Remove, &people[..2]).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("DD", 2));

    let (mut found, mut cursor, mut pages) = (BTreeSet::new(), None, 0);
    loop {
        let page = connector.list(cursor, &Open).await.unwrap();
        assert!(page.members.iter().all(|member| member.remote_id.is_some()));
        found.extend(page.members.into_iter().flat_map(|member| member.identifiers));
        cursor = page.next;
        pages += 1;
        if cursor.is_none() {
            break;
        }
    }
    let sent: BTreeSet<_> = people[2..].iter().flat_map(|(_, row)| row.identifiers.clone()).collect();
    assert_eq!((found == sent, pages), (true, 3), "the list is what was sent");
}

/// The second API of the guide: a record is made first, then put into the list.
#[tokio::test]
async fn the_two_steps_of_the_guide_are_both_acknowledged_before_a_record_is() {
    let refuses = Arc::new(Mutex::new(true));
    let state = Arc::clone(&refuses);
    let server = Server::start(move |got: &Got, _| match got.path() {
        "/people/batch" => {
            let people = got.json()["people"].as_array().unwrap().clone();
            let results = people.iter().map(|person| json!({ "status": 201, "id": person["email"] }));
            Does::json(200, &json!({ "results": results.collect::<Vec<_>>() }))
        }
        _ if *state.lock().unwrap() => Does::status(429),
        _ => Does::status(204),
    })
    .await;
    let connector = on(shown()[1], &server);
    let people: Vec<_> = (0..3).map(|number| (number, row_of(&Person::numbered(number)))).collect();
    let driven = deliver(&*connector, Operation::Add, &people).await;
    assert_eq!(letters(&driven), "UUU", "the people are there, their membership is not");
    *refuses.lock().unwrap() = false;
    let driven = deliver(&*connector, Operation::Add, &people).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("DDD", 2));
    let last = server.got().pop().unwrap();
    assert_eq!(last.target, "/lists/shop/members");
    assert_eq!(last.json(), json!({ "ids": ["p0@example.com", "p1@example.com", "P2@Example.com"] }));
    assert_eq!(driven.outcomes[&0].remote_id.as_deref(), Some("p0@example.com"));
}

/// The third destination of the guide is a recipe.
#[test]
fn the_recipe_of_the_guide_can_list_its_members() {
    assert!(connector(&shown()[2].replace("driftless/mailchimp", "token"), "9e67587f52").capabilities().list);
}

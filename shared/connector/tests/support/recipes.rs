//! The shipped recipes on the stubs of their vendors, for both suites.

use driftless_connector::{
    OutRow,
    conformance::{Manners, Person, Refuses},
};
use driftless_model::{Identifier, IdentifierSet, RecordKey};
use driftless_stubs::recipes::{braze, iterable, linkedin, mailchimp, tiktok};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    Server, connector,
    list::{Kind, List, Running},
};

pub use driftless_stubs::recipes::LIST;

/// A destination of a recipe, on a stub.
pub fn recipe(name: &str, base_url: &str, with: &str) -> String {
    format!("version: 1\nkind: recipe\nrecipe: {name}\nbase_url: {base_url}\nwith: {{{with}}}\n")
}

/// The names of lists that fold capitals.
fn folded(identifiers: &IdentifierSet) -> std::collections::BTreeSet<String> {
    identifiers.iter().map(|identifier| identifier.value.to_lowercase()).collect()
}

async fn on_mailchimp(list: List) -> Running {
    let server = list.behind(mailchimp::answer).await;
    let yaml = recipe("mailchimp@1", &format!("{}/3.0", server.url), "data_center: us1, api_key: {secret: token}");
    let connector = connector(&yaml, LIST);
    (server, connector)
}

pub fn mailchimp_kind() -> Kind {
    Kind {
        names: folded,
        manners: Manners { refuses: Refuses::ByName, says_how_long: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(on_mailchimp(list)))
    }
}

async fn on_iterable(list: List) -> Running {
    let server = list.behind(iterable::answer).await;
    let yaml = recipe("iterable@1", &format!("{}/api", server.url), "api_key: {secret: token}");
    let connector = connector(&yaml, "17");
    (server, connector)
}

pub fn iterable_kind() -> Kind {
    Kind {
        names: folded,
        manners: Manners { refuses: Refuses::ByName, says_how_long: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(on_iterable(list)))
    }
}

/// The digest that a mapping makes of a person's address.
pub fn hashed(person: &Person) -> OutRow {
    let email = hex::encode(Sha256::digest(person.email.to_lowercase()));
    let fields = json!({ "email": email, "first_name": person.first_name });
    OutRow {
        key: RecordKey::new(&person.key),
        identifiers: [Identifier::new("email", email)].into(),
        remote_id: None,
        fields: fields.as_object().cloned().unwrap_or_default(),
    }
}

async fn on_linkedin(list: List) -> Running {
    let server = list.behind(linkedin::answer).await;
    let yaml = recipe("linkedin@1", &format!("{}/rest", server.url), "access_token: {secret: token}");
    let connector = connector(&yaml, LIST);
    (server, connector)
}

pub fn linkedin_kind() -> Kind {
    Kind {
        row: hashed,
        values: false,
        // A 404 may be a segment that was just made.
        manners: Manners { refuses: Refuses::InOrder, list_can_go: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(on_linkedin(list)))
    }
}

pub fn tiktok_yaml(server: &Server) -> String {
    recipe(
        "tiktok@1",
        &format!("{}/open_api/v1.3", server.url),
        "advertiser_id: '7000000000000000001', access_token: {secret: token}",
    )
}

async fn on_tiktok(list: List) -> Running {
    let server = list.behind(tiktok::answer).await;
    let connector = connector(&tiktok_yaml(&server), LIST);
    (server, connector)
}

pub fn tiktok_kind() -> Kind {
    Kind {
        row: hashed,
        values: false,
        manners: Manners { refuses: Refuses::Whole, says_how_long: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(on_tiktok(list)))
    }
}

async fn on_braze(list: List) -> Running {
    let server = list.behind(braze::answer).await;
    let yaml = recipe("braze@1", &server.url, "host: rest.example.com, api_key: {secret: token}");
    let connector = connector(&yaml, "in_news");
    (server, connector)
}

fn by_external_id(person: &Person) -> OutRow {
    let fields = json!({ "external_id": person.email, "first_name": person.first_name });
    OutRow {
        key: RecordKey::new(&person.key),
        identifiers: [Identifier::new("external_id", &person.email)].into(),
        remote_id: None,
        fields: fields.as_object().cloned().unwrap_or_default(),
    }
}

pub fn braze_kind() -> Kind {
    Kind {
        row: by_external_id,
        manners: Manners { refuses: Refuses::ByName, ..Manners::default() },
        ..Kind::new(|list| Box::pin(on_braze(list)))
    }
}

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_dynamodb::{Client, Config};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use driftless_model::Meter;
use serde_json::{Value, json};

use super::DynamoDeltalog;
use crate::{Deltalog, Error, MemoryDeltalog, Metered, conformance};

fn config() -> aws_sdk_dynamodb::config::Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
}

/// Answers requests from a list, in order, and keeps what was asked.
#[derive(Clone, Debug, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl HttpConnector for Scripted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().expect("a body in memory");
        self.asked.lock().unwrap().push(serde_json::from_slice(body).expect("a JSON body"));
        let (status, answer) = self.answers.lock().unwrap().pop_front().expect("no more requests than answers");
        let status: aws_smithy_runtime_api::http::StatusCode = status.try_into().expect("a status code");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(answer.to_string()))))
    }
}

fn scripted(answers: impl IntoIterator<Item = (u16, Value)>) -> (DynamoDeltalog, Scripted) {
    let script = Scripted { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Scripted::default() };
    let connector = SharedHttpConnector::new(script.clone());
    let config = config()
        .retry_config(RetryConfig::disabled())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build();
    (DynamoDeltalog::new(Client::from_conf(config), "driftless-test"), script)
}

mod strict;
mod wire;

/// The emulated AWS of the environment, which must be on this machine.
fn endpoint() -> Option<String> {
    let endpoint = std::env::var("DRIFTLESS_TEST_ENDPOINT").ok()?;
    let local = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"];
    assert!(local.iter().any(|l| endpoint.starts_with(l)), "DRIFTLESS_TEST_ENDPOINT must be an http loopback address");
    Some(endpoint)
}

/// A new table on the emulated AWS, as the template makes it.
#[allow(clippy::print_stderr)] // the reason of a skipped test belongs to the test's output
async fn emulated(purpose: &str) -> Option<DynamoDeltalog> {
    let Some(endpoint) = endpoint() else {
        eprintln!("skipped: DRIFTLESS_TEST_ENDPOINT names no emulated AWS");
        return None;
    };
    let client = Client::from_conf(config().endpoint_url(endpoint).interceptor(strict::AsAws).build());
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_nanos();
    let table = format!("driftless-{purpose}-{since}");
    let mut create = client.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        create = create
            .attribute_definitions(attribute.build().expect("is whole"))
            .key_schema(key.build().expect("is whole"));
    }
    create.send().await.expect("creates the table");
    Some(DynamoDeltalog::new(client, table))
}

#[tokio::test]
async fn dynamodb_as_emulated_conforms() {
    if let Some(store) = emulated("conformance").await {
        conformance::all(&store).await;
    }
}

#[tokio::test]
async fn dynamodb_as_emulated_agrees_with_the_store_in_memory() {
    if let Some(store) = emulated("model").await {
        for seed in 1..=12 {
            conformance::model::agrees(&store, seed, 200).await;
        }
    }
}

/// What the service says that requests took is what is worked out for the store in memory, for the requests that grow.
#[tokio::test]
async fn dynamodb_as_emulated_bills_what_is_worked_out() {
    let Some(store) = emulated("units").await else { return };
    let (said, worked_out) = (Meter::default(), Meter::default());
    let store = store.metered(said.clone());
    let memory = Metered::new(Arc::new(MemoryDeltalog::default()), worked_out.clone());
    for (store, meter) in [(&store as &dyn Deltalog, &said), (&memory, &worked_out)] {
        conformance::units::of_an_ingest_and_a_run(store, meter).await;
    }
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named() {
    let Some(there) = emulated("absent").await else { return };
    let store = DynamoDeltalog::new(there.table.client, "driftless-absent");
    let error = store.syncs().await.expect_err("there is no table");
    assert!(matches!(&error, Error::NoTable { table } if table == "driftless-absent"), "{error:?}");
}

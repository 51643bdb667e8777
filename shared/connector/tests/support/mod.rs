//! A scripted HTTP server on loopback, virtual time, and rows. Each test file uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub, unused_imports, clippy::unwrap_used)]

#[cfg(feature = "conformance")]
pub mod faults;
#[cfg(feature = "conformance")]
pub mod google;
#[cfg(feature = "conformance")]
pub mod klaviyo;
#[cfg(feature = "conformance")]
pub mod list;
#[cfg(feature = "conformance")]
pub mod meta;
#[cfg(feature = "conformance")]
pub mod random;
#[cfg(feature = "conformance")]
pub mod recipes;
#[cfg(feature = "conformance")]
pub mod simulation;
#[cfg(feature = "conformance")]
pub mod vendor;

pub mod files;
pub mod hubspot;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use driftless_config::{Destination, SecretRef};
use driftless_connector::{
    Connector, Driven, FetchedSecrets, HttpPolicy, OutRow, Pacer, PacerError, Work, build, drive,
};
use driftless_model::{Clock, Identifier, Millis, Operation, Outcome, RecordKey};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as the server got it.
#[derive(Clone, Debug)]
pub struct Got {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What the server does with a request.
pub enum Does {
    Answers(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Closes the connection without a byte.
    Cuts,
    /// Sends this status, and a body without end.
    GoesOnForEver(u16),
    /// Sends this status and half of the body it announced.
    CutsTheBody(u16),
    /// Says nothing and keeps the connection.
    Waits,
}

impl Does {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Answers(status, vec![("content-type", "application/json".into())], body.to_string().into_bytes())
    }
    pub fn status(status: u16) -> Self {
        Self::Answers(status, Vec::new(), Vec::new())
    }
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answers(_, headers, _) = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
    /// The same answer, half of it.
    pub fn cut(self) -> Self {
        match self {
            Self::Answers(status, ..) => Self::CutsTheBody(status),
            other => other,
        }
    }
    /// The same status, and a body without end.
    pub fn endless(self) -> Self {
        match self {
            Self::Answers(status, ..) => Self::GoesOnForEver(status),
            other => other,
        }
    }
    /// The same body under another content type.
    pub fn typed(self, content_type: &str) -> Self {
        match self {
            Self::Answers(status, mut headers, body) => {
                headers.retain(|(name, _)| *name != "content-type");
                Self::Answers(status, headers, body).with("content-type", content_type)
            }
            other => other,
        }
    }
    /// The same answer, with one result less in every list of it.
    pub fn shortened(self) -> Self {
        fn shorten(value: &mut Value) {
            match value {
                Value::Array(items) => drop(items.pop()),
                Value::Object(map) => map.values_mut().for_each(shorten),
                _ => {}
            }
        }
        match self {
            Self::Answers(status, headers, body) => {
                let mut json = serde_json::from_slice(&body).unwrap_or_default();
                shorten(&mut json);
                Self::Answers(status, headers, json.to_string().into_bytes())
            }
            other => other,
        }
    }
}

pub struct Server {
    pub url: String,
    got: Arc<Mutex<Vec<Got>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(handler: impl Fn(&Got, usize) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let got = Arc::new(Mutex::new(Vec::new()));
        let (log, handler) = (Arc::clone(&got), Arc::new(handler));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&handler)));
            }
        });
        Self { url, got, task }
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<Got>>>,
    handler: Arc<impl Fn(&Got, usize) -> Does + Send + Sync + 'static>,
) -> Option<()> {
    let got = read(&mut stream).await?;
    let number = {
        let mut log = log.lock().unwrap();
        log.push(got.clone());
        log.len() - 1
    };
    match handler(&got, number) {
        Does::Cuts => {}
        Does::Waits => tokio::time::sleep(Duration::from_mins(1)).await,
        Does::GoesOnForEver(status) => {
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.ok()?;
            while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
        }
        Does::CutsTheBody(status) => cut_the_body(&mut stream, status).await?,
        Does::Answers(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            stream.write_all(format!("{head}\r\n").as_bytes()).await.ok()?;
            stream.write_all(&body).await.ok()?;
        }
    }
    stream.shutdown().await.ok()
}

async fn cut_the_body(stream: &mut TcpStream, status: u16) -> Option<()> {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{{\"a\":");
    stream.write_all(head.as_bytes()).await.ok()
}

async fn read(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Got { method, target, headers, body })
}

/// Time that passes only when somebody waits for it.
#[derive(Default)]
pub struct Virtual {
    now: Mutex<i64>,
    pub slots: Mutex<u32>,
}

impl Clock for Virtual {
    fn now(&self) -> Millis {
        Millis(*self.now.lock().unwrap())
    }
}

#[async_trait]
impl Pacer for Virtual {
    async fn slot(&self) -> Result<Millis, PacerError> {
        *self.slots.lock().unwrap() += 1;
        Ok(self.now())
    }
    async fn sleep_until(&self, at: Millis) {
        let mut now = self.now.lock().unwrap();
        *now = (*now).max(at.0);
    }
}

pub fn destination(yaml: &str) -> Destination {
    Destination::from_yaml(yaml).unwrap_or_else(|error| panic!("{error}"))
}

/// The secret `token` is `s3cr3t`.
pub fn secrets() -> FetchedSecrets {
    let reference: SecretRef = "token".parse().expect("a name");
    [(reference, "s3cr3t".to_owned().into())].into_iter().collect()
}

pub fn local() -> HttpPolicy {
    HttpPolicy { allow_private: true, max_answer_bytes: 4 << 20, ..HttpPolicy::default() }
}

pub fn connector(yaml: &str, list: &str) -> Box<dyn Connector> {
    build(&destination(yaml), list, &secrets(), local()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn row(number: u32, fields: Value) -> (u32, OutRow) {
    let email = format!("p{number}@example.com");
    let mut all: Map<String, Value> = [("email".to_owned(), json!(email))].into_iter().collect();
    all.extend(fields.as_object().cloned().unwrap_or_default());
    let row = OutRow {
        key: RecordKey::new(format!("c{number}")),
        identifiers: [Identifier::new("email", email)].into(),
        remote_id: None,
        fields: all,
    };
    (number, row)
}

/// A person's record with `email` and `first_name`; the address is its only identifier.
#[cfg(feature = "conformance")]
pub fn row_of(person: &driftless_connector::conformance::Person) -> OutRow {
    let fields = json!({ "email": person.email, "first_name": person.first_name });
    OutRow {
        key: RecordKey::new(&person.key),
        identifiers: [Identifier::new("email", &person.email)].into(),
        remote_id: None,
        fields: fields.as_object().cloned().unwrap_or_default(),
    }
}

pub fn rows(count: u32) -> Vec<(u32, OutRow)> {
    (0..count).map(|n| row(n, json!({ "name": format!("N{n}") }))).collect()
}

pub fn removals(count: u32) -> Vec<(u32, OutRow)> {
    rows(count).into_iter().map(|(n, row)| (n, OutRow { fields: Map::new(), ..row })).collect()
}

pub async fn deliver(connector: &dyn Connector, operation: Operation, rows: &[(u32, OutRow)]) -> Driven {
    deliver_with(connector, operation, rows, &Virtual::default()).await
}

pub async fn deliver_with(
    connector: &dyn Connector,
    operation: Operation,
    rows: &[(u32, OutRow)],
    time: &Virtual,
) -> Driven {
    let work = Work {
        stop_before: Millis(600_000),
        request_timeout: Duration::from_secs(30),
        ..Work::new(operation, rows, "run-1-0")
    };
    drive(connector, time, time, work).await
}

/// The outcomes in one letter each: Delivered, rejected (X), Retry, Unknown.
pub fn letters(driven: &Driven) -> String {
    let letter = |outcome: &Outcome| match outcome {
        Outcome::Delivered => 'D',
        Outcome::Rejected { .. } => 'X',
        Outcome::Retry => 'R',
        Outcome::Unknown => 'U',
        Outcome::Suppressed => 'S',
    };
    driven.outcomes.values().map(|row| letter(&row.outcome)).collect()
}

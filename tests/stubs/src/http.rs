//! A small HTTP server on loopback that says whatever a handler decides, and can fail in every way that a server can.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
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
    /// A parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        url::form_urlencoded::parse(query.as_bytes()).find_map(|(n, v)| (n == name).then(|| v.into_owned()))
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
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answers(_, headers, _) = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
    /// The same answer, half of it.
    #[must_use]
    pub fn cut(self) -> Self {
        match self {
            Self::Answers(status, ..) => Self::CutsTheBody(status),
            other => other,
        }
    }
    /// The same status, and a body without end.
    #[must_use]
    pub fn endless(self) -> Self {
        match self {
            Self::Answers(status, ..) => Self::GoesOnForEver(status),
            other => other,
        }
    }
    /// The same body under another content type.
    #[must_use]
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
    #[must_use]
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
    /// On a port of its own.
    pub async fn start(handler: impl Fn(&Got, usize) -> Does + Send + Sync + 'static) -> Self {
        Self::on(0, handler).await
    }

    pub async fn on(port: u16, handler: impl Fn(&Got, usize) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
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

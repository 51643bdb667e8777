use driftless_config::destination::Auth;
use driftless_model::{Identifier, RecordKey};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{FetchedSecrets, HttpPolicy};

struct Made {
    http: Http,
    templates: Templates,
    request: Request,
}

impl Made {
    fn new(path: &str, query: &[(&str, &str)], body: Option<&str>) -> Self {
        let base = "https://api.example.com/v3/".parse().expect("a URL");
        let http = Http::new(&base, &Auth::None, &FetchedSecrets::default(), HttpPolicy::default()).expect("a client");
        let mut book = Book::new();
        let body: Option<Body> = body.map(|yaml| serde_saphyr::from_str(yaml).expect("a body"));
        let request = Request::compile(
            &mut book,
            &Parts {
                key: "add",
                method: Method::Post,
                path: &Template::new(path),
                query: &query.iter().map(|(n, t)| ((*n).to_owned(), Template::new(*t))).collect(),
                common: &[("Idempotency-Key".to_owned(), Template::new("\"{{ idempotency_key }}\""))].into(),
                headers: &BTreeMap::new(),
                body: body.as_ref(),
            },
        );
        Self { http, request: request.expect("compiles"), templates: book.finish() }
    }

    fn render(&self, rows: &[OutRow]) -> Result<Outgoing, Fault> {
        self.request.render(&self.http, &self.templates, &context_of("news", Operation::Add, "k-1", rows))
    }

    fn body(&self, rows: &[OutRow]) -> String {
        let request = self.render(rows).expect("renders");
        String::from_utf8(request.body.expect("a body").to_vec()).expect("text")
    }
}

fn row(email: &str, fields: Json) -> OutRow {
    OutRow {
        key: RecordKey::new("c1"),
        identifiers: [Identifier::new("email", email)].into(),
        remote_id: None,
        fields: fields.as_object().expect("an object").clone(),
    }
}

#[test]
fn each_record_becomes_an_element_and_values_keep_their_types() {
    let made = Made::new(
        "/lists/{{ list }}/members",
        &[("op", "{{ operation }}"), ("none", "{{ omit if not record else 1 }}")],
        Some(
            "json:\n  update_existing: true\n  members:\n    $each_record:\n      email_address: '{{ record.identifiers.email }}'\n      \
             tags: [a, '{{ list }}']\n      merge_fields: '{{ record.fields }}'\n      phone: '{{ record.fields.phone | default(omit) }}'\n",
        ),
    );
    let rows = [row("a@example.com", json!({ "age": 7, "phone": "+1" })), row("b@example.com", json!({ "vip": true }))];
    let request = made.render(&rows);
    let request = request.expect("renders");
    assert_eq!(request.url.as_str(), "https://api.example.com/v3/lists/news/members?op=add");
    assert_eq!(request.headers["idempotency-key"], "\"k-1\"");
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Json = serde_json::from_slice(&request.body.expect("a body")).expect("JSON");
    assert_eq!(
        body,
        json!({
            "update_existing": true,
            "members": [
                { "email_address": "a@example.com", "tags": ["a", "news"], "merge_fields": { "age": 7, "phone": "+1" }, "phone": "+1" },
                { "email_address": "b@example.com", "tags": ["a", "news"], "merge_fields": { "vip": true } },
            ]
        })
    );
}

#[test]
fn a_form_gives_a_name_once_per_element() {
    let made = Made::new(
        "/x",
        &[],
        Some("form: {email: '{{ record.identifiers.email }}', 'tag[]': [a, b c], skip: '{{ none }}'}"),
    );
    assert_eq!(made.body(&[row("a+b@example.com", json!({}))]), "email=a%2Bb%40example.com&tag%5B%5D=a&tag%5B%5D=b+c");
}

#[test]
fn ndjson_has_a_line_per_record() {
    let made = Made::new("/x", &[], Some("ndjson: {e: '{{ record.identifiers.email }}'}"));
    assert_eq!(made.body(&[row("a", json!({})), row("b", json!({}))]), "{\"e\":\"a\"}\n{\"e\":\"b\"}\n");
}

#[test]
fn one_record_is_at_hand_only_where_a_request_carries_one() {
    let made = Made::new("/members/{{ record.identifiers.email | lower | md5 }}", &[], None);
    let request = made.render(&[row("Mary@Example.com", json!({}))]).expect("renders");
    assert_eq!(request.url.path(), "/v3/members/c96da02bba97aedfd26136e980ae3761");
    assert!(made.render(&[row("a", json!({})), row("b", json!({}))]).is_err());
}

#[test]
fn a_header_takes_no_line_breaks() {
    let mut made = Made::new("/x", &[], None);
    let mut book = Book::new();
    let page = book.value("headers.x", "{{ record.fields.x }}").expect("compiles");
    made.templates = book.finish();
    made.request.headers = vec![(HeaderName::from_static("x"), page)];
    assert!(made.render(&[row("a", json!({ "x": "a\r\nb: c" }))]).is_err());
    assert!(made.render(&[row("a", json!({ "x": "fine" }))]).is_ok());
}

#[test]
fn each_record_has_no_key_beside_it() {
    let mut book = Book::new();
    let json = json!({ "$each_record": "{{ record }}", "other": 1 });
    let error = Node::compile(&mut book, "add.body.json", &json).err().expect("refused");
    assert!(error.to_string().contains("$each_record"), "{error}");
}

proptest! {
    #[test]
    fn no_value_breaks_a_body(email in ".*", field in ".*") {
        let made = Made::new("/x", &[], Some("json: {m: {$each_record: {e: '{{ record.identifiers.email }}', t: 'x {{ record.fields.f }}'}}}"));
        let body: Json = serde_json::from_str(&made.body(&[row(&email, json!({ "f": field }))])).expect("JSON");
        prop_assert_eq!(body, json!({ "m": [{ "e": email, "t": format!("x {field}") }] }));
    }

    #[test]
    fn no_value_breaks_a_form_or_a_query(text in ".*") {
        let made = Made::new("/x", &[("q", "{{ record.fields.f }}")], Some("form: {f: '{{ record.fields.f }}'}"));
        let request = made.render(&[row("a", json!({ "f": text }))]).expect("renders");
        let body = request.body.expect("a body");
        let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        prop_assert_eq!(form, [("f".to_owned(), text.clone())]);
        let query: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
        prop_assert_eq!(query, [("q".to_owned(), text)]);
    }
}

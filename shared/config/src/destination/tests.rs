use super::*;

const REST: &str = "version: 1
kind: rest
base_url: https://api.example.com/v1/
auth: {header: {name: Api-Key, value: {secret: mailer#key}}}
rate: {requests: 10, per: 1s}
batch: {records: 500, bytes: 1000000}
answer:
  status: {absent: [404], throttled: [420-429]}
  codes: [{at: /code, means: {delivered: [0]}, otherwise: rejected}]
  results: {by_key: {failures: [/errors], key: /email, matches: {identifier: email}}}
add: {method: POST, path: '/lists/{{ list }}', body: {json: {m: {$each_record: '{{ record.fields }}'}}}}
list: {path: /m, items: '', identifiers: {email: /email}, next: {offset: {size: 100}}}
";

const SCIM: &str = "version: 1
kind: scim
base_url: https://directory.example.com/scim/v2
auth: {oauth2_client_credentials: {token_url: https://login.example.com/token, client_id: c, client_secret: {secret: s}}}
attributes: {userName: email}
";

const HUBSPOT: &str = "version: 1
kind: hubspot
auth:
  oauth2_refresh_token:
    token_url: https://api.hubapi.com/oauth/v1/token
    client_id: c
    client_secret: {secret: hubspot#secret}
    refresh_token: {secret: hubspot#refresh}
    client_auth: body
properties: {email: email, firstname: first_name}
";

const WEBHOOK: &str = "version: 1
kind: webhook
base_url: https://example.com/hooks/members
signing_secrets: [{secret: hook#current}, {secret: hook#next}]
";

const FILE: &str = "version: 1
kind: file
bucket: acme-lists
format: {csv: {columns: [email, first_name]}}
";

fn read(yaml: &str) -> Destination {
    Destination::from_yaml(yaml).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(yaml: &str) -> String {
    Destination::from_yaml(yaml).expect_err("refused").to_string()
}

fn keys_with_flaws(yaml: &str) -> Vec<&'static str> {
    read(yaml).flaws().into_iter().map(|flaw| flaw.key).collect()
}

#[test]
fn the_applied_document_reads_back_as_what_was_written() {
    for yaml in [REST, SCIM, HUBSPOT, WEBHOOK, FILE] {
        let written = read(yaml);
        let json = serde_json::to_string(&written).expect("serialises");
        assert_eq!(serde_json::from_str::<Destination>(&json).expect("reads"), written);
        assert_eq!(written.flaws(), []);
    }
    assert_eq!(read(REST).base_url().map(BaseUrl::as_str), Some("https://api.example.com/v1"));
    assert_eq!(read(SCIM).timeout(), Duration::from_secs(30));
    assert_eq!(read(SCIM).secret_refs().len(), 1);
    assert_eq!([HUBSPOT, WEBHOOK, FILE].map(|yaml| read(yaml).secret_refs().len()), [2, 2, 0]);
    assert_eq!(read(HUBSPOT).base_url().map(BaseUrl::as_str), Some("https://api.hubapi.com"));
    let allowed: Vec<u32> = read(HUBSPOT).rate().expect("a rate").windows().map(|w| w.requests.get()).collect();
    assert_eq!(allowed, [100]);
    assert_eq!(read(FILE).base_url(), None);
}

#[test]
fn a_key_that_does_not_exist_is_refused_where_it_stands() {
    let message = refused(&REST.replace("records: 500", "recods: 500"));
    assert!(message.contains("recods") && message.contains("line 6"), "{message}");
    assert!(Destination::from_yaml(&REST.replace("/v1/", "/v1/?a=b")).is_err());
    assert!(Destination::from_yaml(&REST.replace("version: 1", "version: 2")).is_err());
    assert!(Destination::from_yaml(&REST.replace("kind: rest", "kind: soap")).is_err());
    assert!(Destination::from_yaml(&REST.replace("/errors", "errors")).is_err(), "a pointer starts with a slash");
    assert!(Destination::from_yaml(&REST.replace("https://", "https://user:pw@")).is_err());
}

#[test]
fn what_cannot_work_is_said_with_a_remedy() {
    let nothing = "version: 1\nkind: rest\nbase_url: https://a.example.com\n";
    assert_eq!(keys_with_flaws(nothing), ["add"]);
    assert_eq!(keys_with_flaws(&REST.replace("method: POST", "method: GET")), ["add"]);
    assert_eq!(
        keys_with_flaws(&REST.replace(", body: {json: {m: {$each_record: '{{ record.fields }}'}}}", "")),
        ["add"]
    );
    assert_eq!(keys_with_flaws(&REST.replace("per: 1s", "per: 0s")), ["rate.per"]);
    assert_eq!(keys_with_flaws(&format!("{SCIM}on_remove: delete\n")), ["on_remove"]);
    assert_eq!(keys_with_flaws(&format!("{SCIM}group: {{by: id, create: true}}\n")), ["group.create"]);
    assert_eq!(keys_with_flaws(&SCIM.replace("userName: email", "title: email")), ["attributes", "attributes"]);
    assert_eq!(keys_with_flaws(&format!("{SCIM}timeout: 0s\n")), ["timeout"]);
    assert_eq!(keys_with_flaws(&format!("{HUBSPOT}records: 101\n")), ["records"]);
    assert_eq!(keys_with_flaws(&format!("{HUBSPOT}list: {{by: id, create: true}}\n")), ["list.create"]);
    assert_eq!(keys_with_flaws(&format!("{HUBSPOT}match_by: crm_id\n")), ["properties"]);
    assert_eq!(
        keys_with_flaws(&WEBHOOK.replace("[{secret: hook#current}, {secret: hook#next}]", "[]")),
        ["signing_secrets"]
    );
    assert_eq!(keys_with_flaws(&format!("{WEBHOOK}headers: {{Webhook-Id: a}}\n")), ["headers"]);
    assert_eq!(keys_with_flaws(&FILE.replace("acme-lists", "s3://acme")), ["bucket"]);
    for prefix in ["lists", "/lists/", "history/lists/", "datasets/"] {
        assert_eq!(keys_with_flaws(&format!("{FILE}prefix: {prefix}\n")), ["prefix"]);
    }
    for columns in ["", "email, email", "key"] {
        assert_eq!(keys_with_flaws(&FILE.replace("email, first_name", columns)), ["format.csv.columns"]);
    }
}

#[test]
fn an_operations_answer_replaces_the_common_keys_it_names() {
    let yaml = REST.replace("add: {method: POST,", "add: {method: POST, answer: {reason: /why}, batch: {records: 7},");
    let Destination::Rest(rest) = read(&yaml) else { panic!("rest") };
    let add = rest.add.as_ref().expect("described");
    let answer = rest.answer_of(add);
    assert_eq!((answer.codes.len(), answer.reason.is_some(), answer.results.is_some()), (1, true, true));
    assert_eq!(rest.batch_of(add).records.get(), 7);
    assert!(rest.operation(driftless_model::Operation::Update).is_some(), "an update goes out as an add");
    assert!(rest.operation(driftless_model::Operation::Remove).is_none());
}

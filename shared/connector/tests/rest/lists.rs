//! Reading a list, in every way of paging.

use super::*;

pub(super) fn listed(url: &str, next: &str, query: &str) -> String {
    format!(
        "version: 1
kind: rest
base_url: {url}/v1
remove: {{method: DELETE, path: '/m/{{{{ record.remote_id }}}}'}}
list: {{path: '/lists/{{{{ list }}}}/members', query: {{{query}}}, items: /items, identifiers: {{email: /email}}, remote_id: /id, next: {next}}}
"
    )
}

/// Five members, two a page.
fn paged(got: &Got, _: usize) -> Does {
    let query: BTreeMap<String, String> = got
        .target
        .split_once('?')
        .into_iter()
        .flat_map(|(_, query)| query.split('&'))
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let number = |name: &str| query.get(name).and_then(|v| v.parse::<usize>().ok());
    let start = number("cursor").or(number("offset")).or(number("page").map(|p| (p - 1) * 2)).unwrap_or(0);
    let items: Vec<Value> =
        (start..(start + 2).min(5)).map(|i| json!({ "id": i, "email": format!("p{i}@example.com") })).collect();
    let next = (start + 2 < 5).then(|| (start + 2).to_string());
    let link =
        next.as_ref().map_or_else(String::new, |next| format!("<?cursor={next}>; rel=\"next\", <?x=1>; rel=\"prev\""));
    Does::json(200, &json!({ "items": items, "next": next })).with("link", link)
}

#[tokio::test]
async fn a_list_is_read_to_its_end_in_every_way_of_paging() {
    let server = Server::start(paged).await;
    for (next, query) in [
        ("{cursor: /next}", "cursor: '{{ cursor | default(omit) }}'"),
        ("{offset: {size: 2}}", "offset: '{{ offset }}'"),
        ("{page: {size: 2}}", "page: '{{ page }}'"),
        ("link", ""),
    ] {
        let connector = connector(&listed(&server.url, next, query), "news");
        let (mut members, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = connector.list(cursor, &Open).await.unwrap();
            members.extend(page.members);
            pages += 1;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((members.len(), pages), (5, 3), "{next}");
        assert_eq!(members[4].remote_id.as_deref(), Some("4"));
        assert!(members[4].identifiers.iter().any(|i| i.field == "email" && i.value == "p4@example.com"));
        assert_eq!(connector.inspect().await, Ok(ListState::NotEmpty));
        assert_eq!(connector.check().await[0].result, Ok("2 members and more".into()));
    }
}

#[tokio::test]
async fn a_next_page_on_another_host_is_not_read() {
    let server = Server::start(|_, _| {
        Does::json(200, &json!({ "items": [] })).with("link", "<https://other.example.com/members>; rel=next")
    })
    .await;
    let connector = connector(&listed(&server.url, "link", ""), "news");
    let next = connector.list(None, &Open).await.unwrap().next;
    assert!(matches!(connector.list(next, &Open).await, Err(Failure::Fatal { .. })));
}

#[tokio::test]
async fn a_list_that_cannot_be_read_says_why() {
    for (does, wanted) in
        [(401, "refuses us: HTTP 401"), (500, "not available: HTTP 500"), (429, "throttling: HTTP 429")]
    {
        let server = Server::start(move |_, _| Does::status(does)).await;
        let failure = connector(&listed(&server.url, "link", ""), "news").list(None, &Open).await.unwrap_err();
        assert!(failure.to_string().contains(wanted), "{failure}");
    }
    let server = Server::start(|_, _| Does::status(200)).await;
    let connector = connector(&batched(&server.url), "news");
    assert_eq!(connector.inspect().await, Ok(ListState::Unreadable));
    assert!(matches!(connector.list(None, &Open).await, Err(Failure::Unsupported { .. })));
}

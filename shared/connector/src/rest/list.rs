use std::collections::BTreeMap;

use driftless_config::destination::{ListMembers, Next, Pointer, Template};
use driftless_model::Identifier;
use minijinja::context;
use reqwest::header::LINK;
use serde_json::Value as Json;
use url::Url;

use super::{
    classify::{text, text_at},
    request::{Parts, Request},
    template::{Book, Templates},
};
use crate::{
    BuildError, Failure, Member, Page,
    http::{Http, Outgoing, Reply, Session},
    reason,
};

/// Reads the list, page by page.
pub(super) struct Listing {
    request: Request,
    items: Pointer,
    identifiers: BTreeMap<String, Pointer>,
    remote_id: Option<Pointer>,
    next: Option<Next>,
}

impl Listing {
    pub(super) fn compile(
        book: &mut Book,
        common: &BTreeMap<String, Template>,
        config: &ListMembers,
    ) -> Result<Self, BuildError> {
        let parts = Parts {
            key: "list",
            method: config.method,
            path: &config.path,
            query: &config.query,
            common,
            headers: &config.headers,
            body: config.body.as_ref(),
        };
        Ok(Self {
            request: Request::compile(book, &parts)?,
            items: config.items.clone(),
            identifiers: config.identifiers.clone(),
            remote_id: config.remote_id.clone(),
            next: config.next.clone(),
        })
    }

    pub(super) async fn page(
        &self,
        session: &Session<'_>,
        http: &Http,
        templates: &Templates,
        list: &str,
        cursor: Option<&str>,
    ) -> Result<Page, Failure> {
        let count = cursor.map_or(Ok(None), |c| c.parse::<u32>().map(Some));
        let counted = || count.clone().map_err(|_| Failure::Fatal { reason: "not a cursor of this list".into() });
        let (context, start) = match &self.next {
            Some(Next::Offset(_)) => {
                let offset = counted()?.unwrap_or(0);
                (context! { list, offset }, offset)
            }
            Some(Next::Page(pages)) => {
                let page = counted()?.unwrap_or(pages.first);
                (context! { list, page }, page)
            }
            Some(Next::Cursor(_)) if cursor.is_some() => (context! { list, cursor }, 0),
            _ => (context! { list }, 0),
        };
        let mut request = self
            .request
            .render(http, templates, &context)
            .map_err(|fault| Failure::Fatal { reason: fault.to_string() })?;
        if let (Some(Next::Link), Some(url)) = (&self.next, cursor) {
            request = Outgoing { url: on_host(http, url)?, ..request };
        }
        let reply = session.send(request).await?;
        let body = answer(&reply)?;
        let items = body.pointer(self.items.as_str()).and_then(Json::as_array).ok_or_else(|| Failure::Unavailable {
            reason: "the answer has no members where `list.items` says".into(),
        })?;
        let members = items.iter().map(|item| self.member(item)).collect();
        let full = |size: core::num::NonZeroU32| items.len() >= usize::try_from(size.get()).unwrap_or(usize::MAX);
        let next = match &self.next {
            None => None,
            Some(Next::Cursor(at)) => text_at(&body, at.as_str()),
            Some(Next::Offset(offset)) => {
                full(offset.size).then(|| start.saturating_add(offset.size.get()).to_string())
            }
            Some(Next::Page(page)) => full(page.size).then(|| start.saturating_add(1).to_string()),
            Some(Next::Link) => next_link(&reply),
        };
        // A destination that gives the same cursor again would be read for ever.
        Ok(Page { members, next: next.filter(|next| Some(next.as_str()) != cursor) })
    }

    fn member(&self, item: &Json) -> Member {
        let identifier =
            |(field, at): (&String, &Pointer)| Some(Identifier::new(field, item.pointer(at.as_str()).and_then(text)?));
        Member {
            identifiers: self.identifiers.iter().filter_map(identifier).collect(),
            remote_id: self.remote_id.as_ref().and_then(|at| text_at(item, at.as_str())),
        }
    }
}

/// The body of an answer to a question, or why there is none.
fn answer(reply: &Reply) -> Result<Json, Failure> {
    let reason = reason::http(reply.status, None);
    match reply.status {
        200..=299 => reply.json().map_err(|unread| Failure::Unavailable { reason: unread.to_string() }),
        429 => Err(Failure::Throttled { after: reply.retry_after(), reason }),
        408 | 425 | 500 | 502..=599 => Err(Failure::Unavailable { reason }),
        _ => Err(Failure::Fatal { reason }),
    }
}

/// The target of `rel="next"` in a `Link` header (RFC 8288).
fn next_link(reply: &Reply) -> Option<String> {
    let links = reply.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|value| value.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|p| {
            let p = p.trim().to_ascii_lowercase();
            p == "rel=next" || p == "rel=\"next\""
        });
        is_next.then(|| target.to_owned())
    })
}

/// A link of the destination's, if it stays with the host that we log in to.
fn on_host(http: &Http, link: &str) -> Result<Url, Failure> {
    let elsewhere = || Failure::Fatal { reason: "the list's next page is on another host".into() };
    let url = http.base().join(link).map_err(|_| elsewhere())?;
    if url.origin() == http.base().origin() && url.username().is_empty() { Ok(url) } else { Err(elsewhere()) }
}

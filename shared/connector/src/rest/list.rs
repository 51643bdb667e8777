use std::collections::BTreeMap;

use driftless_config::destination::{Answer, ListMembers, Next, Pointer, Shape, Template, Verdict};
use driftless_model::Identifier;
use minijinja::context;
use reqwest::header::{CONTENT_TYPE, LINK};
use serde_json::Value as Json;
use url::Url;

use super::{
    classify::{Classifier, text, text_at},
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
    classifier: Classifier,
    format: Shape,
    items: Pointer,
    identifiers: BTreeMap<String, Pointer>,
    remote_id: Option<Pointer>,
    next: Option<Next>,
}

impl Listing {
    pub(super) fn compile(
        book: &mut Book,
        common: &BTreeMap<String, Template>,
        answer: &Answer,
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
            classifier: Classifier::new(answer.clone(), true, true),
            format: config.format,
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
        let body = answer(&reply, self.format)?;
        self.said(&reply, &body)?;
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

    /// Nothing, if the body says that all is well, or does not say.
    fn said(&self, reply: &Reply, body: &Json) -> Result<(), Failure> {
        let reason = || reason::http(reply.status, None);
        match self.classifier.envelope(reply.status, body) {
            None | Some(Verdict::Delivered) => Ok(()),
            Some(Verdict::Throttled) => {
                Err(Failure::Throttled { after: self.classifier.wait(reply, Some(body)), reason: reason() })
            }
            Some(Verdict::Retry | Verdict::Unknown | Verdict::Partly) => Err(Failure::Unavailable { reason: reason() }),
            Some(Verdict::Exists | Verdict::Absent | Verdict::Rejected | Verdict::Fatal) => {
                Err(Failure::Fatal { reason: reason() })
            }
        }
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

/// The body of an answer to a question, or why there is none. Plain text is the array of its lines.
fn answer(reply: &Reply, format: Shape) -> Result<Json, Failure> {
    let reason = reason::http(reply.status, None);
    let unread = |reason: String| Failure::Unavailable { reason };
    match (reply.status, format) {
        (200..=299, Shape::Json) => reply.json().map_err(|why| unread(why.to_string())),
        // A page for people, of a proxy or of a service that is away, would be read as members.
        (200..=299, Shape::Lines) if is_page(reply) => Err(unread("the answer is a page, not a list".into())),
        (200..=299, Shape::Lines) => {
            let text = reply.text().map_err(|why| unread(why.to_string()))?;
            Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Json::from).collect())
        }
        (status, _) => Err(refusal(status, reply, reason)),
    }
}

fn is_page(reply: &Reply) -> bool {
    let content_type = reply.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.trim().to_ascii_lowercase().starts_with("text/html"))
}

fn refusal(status: u16, reply: &Reply, reason: String) -> Failure {
    match status {
        429 => Failure::Throttled { after: reply.retry_after(), reason },
        408 | 425 | 500 | 502..=599 => Failure::Unavailable { reason },
        _ => Failure::Fatal { reason },
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

//! What the client's errors mean to callers.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use serde::Deserialize;

use crate::Error;

/// The API call, and what to tell the user when its item is too large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) item: &'static str,
    pub(crate) remedy: &'static str,
}

impl Operation {
    /// An operation whose items are small by construction.
    pub(crate) const fn small(name: &'static str) -> Self {
        Self { name, item: "an item of the ledger", remedy: "report this as an error of the product" }
    }

    pub(crate) const fn too_large(self) -> Error {
        Error::TooLarge { what: self.item, remedy: self.remedy }
    }
}

/// The reasons that throttled requests carry: a hot partition, or a table or account at its limit.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/throttling-diagnosing-workflow.html>
#[derive(Default, Deserialize)]
struct Body {
    #[serde(default, alias = "ThrottlingReasons", alias = "throttlingReasons")]
    reasons: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

/// Maps an error of the client. Condition failures are answers, not errors, and do not come here.
pub(crate) fn failure<E>(operation: Operation, table: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let service = error.as_service_error();
    let code = service.and_then(ProvideErrorMetadata::code).unwrap_or_default();
    let message = service.and_then(ProvideErrorMetadata::message).unwrap_or_default();
    match code {
        "AccessDeniedException" | "UnrecognizedClientException" | "InvalidSignatureException" => {
            Error::Denied { operation: operation.name }
        }
        "ResourceNotFoundException" => Error::NoTable { table: table.to_owned() },
        "ValidationException" if message.contains("Item size") => operation.too_large(),
        "ValidationException" => {
            Error::Malformed { item: operation.item.to_owned(), problem: format!("{} refused it", operation.name) }
        }
        _ => Error::Unavailable {
            operation: operation.name,
            reason: reason(error, code),
            source: Some(texts(error).into()),
        },
    }
}

fn reason<E>(error: &SdkError<E, HttpResponse>, code: &str) -> String {
    let body = error.raw_response().and_then(|r| r.body().bytes());
    let body: Body = body.and_then(|b| serde_json::from_slice(b).ok()).unwrap_or_default();
    let reasons: Vec<_> = body.reasons.into_iter().map(|r| r.reason).collect();
    match (reasons.is_empty(), error) {
        (false, _) => format!("{code}: {}", reasons.join(", ")),
        (true, SdkError::TimeoutError(_)) => "timeout".to_owned(),
        (true, SdkError::DispatchFailure(_)) => "no connection".to_owned(),
        (true, _) if code.is_empty() => "unreadable answer".to_owned(),
        (true, _) => code.to_owned(),
    }
}

/// The texts of an error and its sources. The error itself is not kept: its debug form holds the whole answer of the
/// service, items included.
fn texts(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |e| e.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

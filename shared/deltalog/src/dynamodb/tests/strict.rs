//! What `DynamoDB` refuses and an emulator may let pass.

use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use serde_json::Value;

/// Fails a request that names what its expressions do not use, or whose expressions are too long.
#[derive(Debug)]
pub(super) struct AsAws;

impl Intercept for AsAws {
    fn name(&self) -> &'static str {
        "AsAws"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body: Value = serde_json::from_slice(context.request().body().bytes().unwrap_or(b"{}"))?;
        let transaction = body["TransactItems"].as_array().into_iter().flatten();
        let actions = transaction.flat_map(|action| action.as_object().into_iter().flat_map(|a| a.values()));
        actions.chain([&body]).try_for_each(check).map_err(Into::into)
    }
}

fn check(request: &Value) -> Result<(), String> {
    let expressions = ["UpdateExpression", "ConditionExpression", "KeyConditionExpression", "ProjectionExpression"]
        .map(|name| request[name].as_str().unwrap_or_default());
    if let Some(long) = expressions.iter().find(|e| e.len() > 4_096) {
        return Err(format!("an expression of {} bytes", long.len()));
    }
    let words: Vec<_> = expressions
        .iter()
        .flat_map(|e| e.split(|c: char| !(c.is_ascii_alphanumeric() || "#:_".contains(c))))
        .filter(|word| word.starts_with(['#', ':']))
        .collect();
    for given in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
        let Some(given) = request[given].as_object() else { continue };
        if given.is_empty() {
            return Err("an empty map of names or values".into());
        }
        if let Some(unused) = given.keys().find(|name| !words.contains(&name.as_str())) {
            return Err(format!("{unused} is not used"));
        }
    }
    let known = |word: &str| {
        let given = if word.starts_with('#') { "ExpressionAttributeNames" } else { "ExpressionAttributeValues" };
        request[given].get(word).is_some()
    };
    if let Some(unknown) = words.iter().find(|word| !known(word)) {
        return Err(format!("{unknown} is not defined"));
    }
    let returns_old = request["ReturnValuesOnConditionCheckFailure"].is_string();
    if returns_old && request["ConditionExpression"].is_null() {
        return Err("an item to return, and no condition to fail".into());
    }
    let reads = !request["KeyConditionExpression"].is_null();
    if reads && request["ConsistentRead"] != true { Err("a read that is not consistent".into()) } else { Ok(()) }
}

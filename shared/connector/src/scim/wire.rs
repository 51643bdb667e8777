//! The messages of SCIM.

use serde::Deserialize;
use serde_json::{Value, json};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// A PATCH of the given operations.
pub(super) fn patch(operations: Vec<Value>) -> Value {
    json!({ "schemas": [PATCH], "Operations": operations })
}

/// A bulk request. No `failOnErrors`: one bad user must not stop the others.
pub(super) fn bulk(operations: &[Value]) -> Value {
    json!({ "schemas": [BULK], "Operations": operations })
}

/// A filter that compares one attribute. The value is a JSON string (RFC 7644 section 3.4.2.2), so nothing in it can end it.
pub(super) fn equals(attribute: &str, value: &str) -> String {
    format!("{attribute} eq {}", Value::from(value))
}

/// What `GET /ServiceProviderConfig` says, as far as we use it (RFC 7643 section 5).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ServiceProviderConfig {
    pub(super) bulk: BulkSupport,
}

/// Support for `/Bulk`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct BulkSupport {
    pub(super) supported: bool,
    pub(super) max_operations: u64,
    pub(super) max_payload_size: u64,
}

/// A page of resources.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    #[serde(default)]
    pub(super) total_results: u64,
    #[serde(default, rename = "Resources")]
    pub(super) resources: Vec<Resource>,
}

/// A user or group, as far as we read it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Resource {
    pub(super) id: String,
    pub(super) user_name: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) active: Option<bool>,
    pub(super) members: Option<Vec<Reference>>,
    pub(super) meta: Meta,
}

/// A member of a group.
#[derive(Debug, Deserialize)]
pub(super) struct Reference {
    pub(super) value: String,
}

/// The version of a resource, for services that send it in the body only.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    pub(super) version: Option<String>,
}

/// The answer to a bulk request.
#[derive(Debug, Deserialize)]
pub(super) struct BulkAnswer {
    #[serde(rename = "Operations")]
    pub(super) operations: Vec<BulkResult>,
}

/// What became of one operation of a bulk request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BulkResult {
    #[serde(default)]
    pub(super) bulk_id: Option<String>,
    #[serde(default)]
    pub(super) location: Option<String>,
    /// Text in RFC 7644; older services send a number, or an object with `code`.
    pub(super) status: Value,
    #[serde(default)]
    pub(super) response: Option<Value>,
}

impl BulkResult {
    /// The HTTP status; 0 if there is none.
    pub(super) fn status(&self) -> u16 {
        let status = self.status.get("code").unwrap_or(&self.status);
        let number = status.as_u64().or_else(|| status.as_str()?.trim().parse().ok());
        number.and_then(|n| u16::try_from(n).ok()).unwrap_or(0)
    }

    /// The id of the resource, from the end of its location.
    pub(super) fn id(&self) -> Option<&str> {
        let id = self.location.as_deref()?.trim_end_matches('/').rsplit('/').next()?;
        (!id.is_empty()).then_some(id)
    }

    pub(super) fn scim_type(&self) -> Option<&str> {
        self.response.as_ref()?.get("scimType")?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_filter() {
        assert_eq!(equals("userName", r#"a" or "1" eq "1"#), r#"userName eq "a\" or \"1\" eq \"1""#);
        assert_eq!(equals("userName", r"back\slash"), r#"userName eq "back\\slash""#);
    }

    #[test]
    fn the_status_of_an_operation_is_read_in_each_spelling() {
        let status = |status: Value| BulkResult { bulk_id: None, location: None, status, response: None }.status();
        assert_eq!([status(json!("201")), status(json!(201)), status(json!({ "code": "201" }))], [201; 3]);
        assert_eq!(status(json!(null)), 0);
    }

    #[test]
    fn the_id_is_the_end_of_the_location() {
        let result = |location: Option<&str>| BulkResult {
            bulk_id: None,
            location: location.map(Into::into),
            status: json!("201"),
            response: None,
        };
        assert_eq!(result(Some("https://example.com/v2/Users/2819c223/")).id(), Some("2819c223"));
        assert_eq!(result(None).id(), None);
    }
}

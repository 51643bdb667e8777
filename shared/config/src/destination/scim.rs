use core::num::{NonZeroU16, NonZeroU32};
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Auth, BaseUrl, Flaw, FormatVersion, Rate, default};
use crate::value::HumanDuration;

/// A SCIM 2.0 service (RFC 7643, RFC 7644). In mode `group` the list is a group and the sync's `list` is its name; users are
/// created where they are missing, and removal ends the membership, never the user. In mode `user` the list is all users:
/// removal deactivates, or deletes if `on_remove` says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScimDestination {
    /// The version of this file's format: 1.
    pub version: FormatVersion,
    /// `scim`.
    pub kind: ScimKind,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The root of the SCIM endpoints, such as `https://example.com/scim/v2`.
    pub base_url: BaseUrl,
    /// How we log in.
    #[serde(default)]
    pub auth: Auth,
    /// How many requests the destination allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many calls may be in flight at once, 2 to 1,000; not fewer than its stack's `Concurrency`. Without it, as many as
    /// that times `CallsPerInvocation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub concurrency: Option<NonZeroU16>,
    /// How long one request may take, from connecting to the last byte of the answer.
    #[serde(default = "default::timeout")]
    pub timeout: HumanDuration,
    /// What the list is.
    #[serde(default)]
    pub mode: ScimMode,
    /// The group, in mode `group`.
    #[serde(default)]
    pub group: ScimGroup,
    /// The users.
    #[serde(default)]
    pub users: ScimUsers,
    /// What a removal does, in mode `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_remove: Option<OnRemove>,
    /// User attributes by path, and the destination field that each takes its value from: `userName: email`,
    /// `name.givenName: first_name`, `emails: email`, `phoneNumbers[mobile]: phone`,
    /// `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department: team`. Left out: every field is an attribute
    /// of its own name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The most records of one call. Left out: `group.members_per_patch` in mode `group`, 100 in mode `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<NonZeroU32>,
    /// Whether `/Bulk` is used.
    #[serde(default)]
    pub bulk: BulkUse,
}

/// `scim`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScimKind {
    /// A SCIM 2.0 service.
    #[default]
    Scim,
}

/// What the list is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScimMode {
    /// The members of one group.
    #[default]
    Group,
    /// All users.
    User,
}

/// The group whose members are the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScimGroup {
    /// What the sync's `list` is: the group's `displayName`, or its `id`. With `display_name` a `list` that begins with `id:` is
    /// the id that follows.
    pub by: GroupBy,
    /// Create the group where it is missing (only by `display_name`).
    pub create: bool,
    /// The most members in one PATCH. AWS IAM Identity Center allows 100.
    pub members_per_patch: NonZeroU32,
    /// How members are taken out.
    pub removal: MemberRemoval,
    /// The service takes all members out at once (`remove` of the path `members`), so that a whole list may be replaced: emptied,
    /// then filled. Many services do; AWS IAM Identity Center refuses it.
    pub supports_replace: bool,
}

/// How the group is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// By its `displayName`.
    #[default]
    DisplayName,
    /// By its `id`.
    Id,
}

/// How members are taken out of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberRemoval {
    /// One PATCH with an operation `members[value eq "…"]` per member (RFC 7644 section 3.5.2.2). Services search the group
    /// once per member, which can be slow for large groups.
    #[default]
    Each,
    /// One PATCH with the ids as value of the path `members`, as Microsoft Entra sends it.
    Values,
    /// The group is read, and its members replaced by those who stay, under `If-Match`: nothing that changed meanwhile is
    /// lost. Needs ETags; two requests whatever the number of removals. AWS IAM Identity Center refuses it.
    Replace,
}

/// The users behind the records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScimUsers {
    /// The attribute by which a record's user is found. Its field must be an identifier of the mapping.
    pub match_by: UserMatch,
    /// Create users who are missing. False: a record without user is rejected.
    pub create: bool,
}

/// The attribute by which a record's user is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UserMatch {
    /// `userName`, which every service keeps unique.
    #[default]
    #[serde(rename = "userName")]
    UserName,
    /// `externalId`, which is ours.
    #[serde(rename = "externalId")]
    ExternalId,
}

/// What a removal does to a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRemove {
    /// `active` becomes false.
    #[default]
    Deactivate,
    /// The user is deleted.
    Delete,
}

/// Whether `/Bulk` is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkUse {
    /// Where the service offers it, within its limits.
    #[default]
    Auto,
    /// Never: one request per user.
    Off,
}

impl Default for ScimGroup {
    fn default() -> Self {
        const HUNDRED: NonZeroU32 = NonZeroU32::new(100).expect("not zero");
        Self {
            by: GroupBy::default(),
            create: false,
            members_per_patch: HUNDRED,
            removal: MemberRemoval::default(),
            supports_replace: false,
        }
    }
}

impl Default for ScimUsers {
    fn default() -> Self {
        Self { match_by: UserMatch::default(), create: true }
    }
}

impl UserMatch {
    /// The attribute's name.
    #[must_use]
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::UserName => "userName",
            Self::ExternalId => "externalId",
        }
    }
}

super::described_by_its_keys!(ScimDestination);

impl ScimDestination {
    /// The most records of one call.
    #[must_use]
    pub fn records_per_call(&self) -> NonZeroU32 {
        self.records.unwrap_or(match self.mode {
            ScimMode::Group => self.group.members_per_patch,
            ScimMode::User => ScimGroup::default().members_per_patch,
        })
    }

    /// The destination field that carries the attribute by which users are found.
    #[must_use]
    pub fn match_field(&self) -> &str {
        let attribute = self.users.match_by.attribute();
        self.attributes.get(attribute).map_or(attribute, String::as_str)
    }

    pub(super) fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.mode == ScimMode::Group && self.on_remove.is_some() {
            flaws.push(Flaw {
                key: "on_remove",
                message: "in mode `group` a removal ends the membership and leaves the user alone".into(),
                remedy: "remove `on_remove`, or set `mode: user`",
            });
        }
        if self.group.create && self.group.by == GroupBy::Id {
            flaws.push(Flaw {
                key: "group.create",
                message: "a group that is named by its id cannot be created: the service gives the id".into(),
                remedy: "set `group.by: display_name`, or create the group and leave `create` out",
            });
        }
        let attribute = self.users.match_by.attribute();
        if !self.attributes.is_empty() && !self.attributes.contains_key(attribute) {
            flaws.push(Flaw {
                key: "attributes",
                message: format!("users are found by `{attribute}`, which has no field"),
                remedy: "add the attribute with the identifier field that it takes its value from",
            });
        }
        if self.users.create && !self.attributes.is_empty() && !self.attributes.contains_key("userName") {
            flaws.push(Flaw {
                key: "attributes",
                message: "a user cannot be created without `userName`".into(),
                remedy: "add `userName` with its field, or set `users.create: false`",
            });
        }
        flaws
    }
}

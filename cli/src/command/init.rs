use std::path::{Path, PathBuf};

use anyhow::Context;
use arrow::datatypes::{DataType, Field, Schema};
use clap::{Args, ValueEnum};
use driftless_config::load_project;
use driftless_model::{DatasetId, DestinationId, SyncId};
use driftless_snapshot::{ViewSpec, check_view};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use super::validate;
use crate::Ended;
use crate::args::Global;
use crate::ended::Trouble;
use crate::output::show;

/// Write a sync and a destination that fit a Parquet file.
///
/// Guesses the key and the identifier from the names of the columns, maps every column that can be sent, and explains in
/// comments what may be changed. What it writes passes `validate`. Existing files are left alone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless init customers.parquet
  driftless init customers.parquet --dataset acme/customers --key customer_id --identifier email
  driftless init people.parquet --kind scim --destination directory --list Newsletter")]
pub(crate) struct Init {
    /// A snapshot of the dataset.
    data: PathBuf,
    /// The dataset. By default `main/` and the file's name.
    #[arg(long, value_name = "TENANT/NAME")]
    dataset: Option<DatasetId>,
    /// The name of the sync. By default the dataset's.
    #[arg(long, value_name = "SYNC")]
    name: Option<SyncId>,
    /// The name of the destination. By default its kind's.
    #[arg(long)]
    destination: Option<DestinationId>,
    /// What kind of system it is.
    #[arg(long, value_enum, default_value_t = Kind::Rest)]
    kind: Kind,
    /// The list at the destination.
    #[arg(long, default_value = "customers")]
    list: String,
    /// The column that identifies a record.
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// The column by which the destination matches people.
    #[arg(long, value_name = "COLUMN")]
    identifier: Option<String>,
}

/// A kind of destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// An HTTP API, described by its requests.
    Rest,
    /// A SCIM 2.0 service.
    Scim,
}

impl Init {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Ended> {
        let file =
            std::fs::File::open(&self.data).with_context(|| format!("{} cannot be read", self.data.display()))?;
        let parquet = ParquetRecordBatchReaderBuilder::try_new(file);
        let schema =
            parquet.with_context(|| format!("{} is not a Parquet file", self.data.display()))?.schema().clone();
        let dataset = self.dataset()?;
        let sync: SyncId = match &self.name {
            Some(name) => name.clone(),
            None => dataset.dataset().parse()?,
        };
        let destination: DestinationId = match &self.destination {
            Some(name) => name.clone(),
            None => if self.kind == Kind::Rest { "api" } else { "directory" }.parse()?,
        };
        let columns: Vec<&Field> =
            schema.fields().iter().map(AsRef::as_ref).filter(|f| sendable(f.data_type())).collect();
        let key = chosen(self.key.as_deref(), &columns, guess_key)?;
        let identifier = chosen(self.identifier.as_deref(), &columns, guess_identifier)?;
        let sync_path = global.project.join(format!("syncs/{sync}.yaml"));
        let destination_path = global.project.join(format!("destinations/{destination}.yaml"));
        let sync_text = sync_yaml(&dataset, key, identifier, &columns, &destination, &self.list);
        let destination_text = match self.kind {
            Kind::Rest => rest_yaml(identifier),
            Kind::Scim => scim_yaml(identifier, &columns),
        };
        let written = [
            write_new(&destination_path, &destination_text)?,
            write_new(&sync_path, &sync_text)?,
            write_new(&global.project.join("driftless.yaml"), PROJECT)?,
        ];
        check(&global.project, &sync, &schema)?;
        let written: Vec<String> = written.into_iter().flatten().collect();
        show(global.json, &json!({ "sync": sync, "destination": destination, "written": written }), || {
            let next = format!(
                "Next: put the URL and the login into destinations/{destination}.yaml, then\n  driftless validate --data {}\n  driftless check {destination}\n  driftless apply",
                self.data.display()
            );
            format!(
                "Wrote {}.\n{next}",
                if written.is_empty() { "nothing: the files are there".to_owned() } else { written.join(", ") }
            )
        })?;
        Ok(Ended::Well)
    }

    fn dataset(&self) -> anyhow::Result<DatasetId> {
        if let Some(dataset) = &self.dataset {
            return Ok(dataset.clone());
        }
        let stem = self.data.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
        format!("main/{}", name.trim_matches('-'))
            .parse()
            .map_err(|_| Trouble::usage("the file's name is no name for a dataset", "use --dataset tenant/name").into())
    }
}

/// What was written passes `validate`, or it is our fault and said so.
fn check(project: &Path, sync: &SyncId, schema: &Schema) -> anyhow::Result<()> {
    let project = load_project(project);
    let found = validate::examine(&project);
    if let Some(problem) = found.problems.first() {
        return Err(Trouble::new(format!("the project is not valid: {problem}"), "see `driftless validate`").into());
    }
    match project.syncs.get(sync) {
        Some(config) => Ok(check_view(&ViewSpec::from(config), schema)?),
        None => Ok(()),
    }
}

/// Writes a file that is not there yet, and says its name.
fn write_new(path: &Path, text: &str) -> anyhow::Result<Option<String>> {
    if path.exists() {
        return Ok(None);
    }
    let failed = || format!("{} cannot be written", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    std::fs::write(path, text).with_context(failed)?;
    Ok(Some(path.display().to_string()))
}

/// Types that a field of a destination can carry as they are.
fn sendable(data_type: &DataType) -> bool {
    !(data_type.is_nested()
        || matches!(
            data_type,
            DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
                | DataType::FixedSizeBinary(_)
                | DataType::Interval(_)
                | DataType::Duration(_)
        ))
}

fn chosen<'a>(
    named: Option<&str>,
    columns: &[&'a Field],
    guess: fn(&[&'a Field]) -> Option<&'a Field>,
) -> Result<&'a Field, Trouble> {
    let found = match named {
        Some(name) => columns.iter().find(|f| f.name() == name).copied(),
        None => guess(columns),
    };
    found.ok_or_else(|| {
        let all: Vec<&str> = columns.iter().map(|f| f.name().as_str()).collect();
        let what = named.map_or_else(
            || "the file has no column that can be sent".to_owned(),
            |n| format!("there is no column `{n}` that can be sent"),
        );
        Trouble::usage(what, format!("the columns are {}", all.join(", ")))
    })
}

/// `id`, something that ends in `id`, `key`, else the first column.
fn guess_key<'a>(columns: &[&'a Field]) -> Option<&'a Field> {
    let find = |wanted: fn(&str) -> bool| columns.iter().find(|f| wanted(&f.name().to_lowercase())).copied();
    find(|n| n == "id")
        .or_else(|| find(|n| n.ends_with("_id") || n.ends_with("uuid")))
        .or_else(|| find(|n| n == "key" || n.ends_with("_key")))
        .or_else(|| columns.first().copied())
}

/// An e-mail address or a phone number, else the key.
fn guess_identifier<'a>(columns: &[&'a Field]) -> Option<&'a Field> {
    let find =
        |wanted: fn(&str) -> bool| columns.iter().find(|f| is_text(f) && wanted(&f.name().to_lowercase())).copied();
    find(|n| n == "email" || n == "e_mail" || n == "mail")
        .or_else(|| find(|n| n.contains("email")))
        .or_else(|| find(|n| n.contains("phone")))
        .or_else(|| guess_key(columns))
}

fn is_text(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// A name as YAML has it: JSON's quotes are YAML's.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !matches!(name.to_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null");
    if plain { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}

const PROJECT: &str = "\
# Settings of the whole project. Options of the command line and DRIFTLESS_… variables win over it.
stage: dev
";

fn sync_yaml(
    dataset: &DatasetId,
    key: &Field,
    identifier: &Field,
    columns: &[&Field],
    destination: &DestinationId,
    list: &str,
) -> String {
    let normalize = if identifier.name().to_lowercase().contains("mail") { ", normalize: email" } else { "" };
    let name = quoted(identifier.name());
    let mut mapping = format!("  {name}: {{ column: {name}, identifier: true{normalize} }}\n");
    for column in columns.iter().filter(|c| c.name() != identifier.name()) {
        let name = quoted(column.name());
        mapping.extend(["  ", &name, ": ", &name, "\n"]);
    }
    let (key, list) = (quoted(key.name()), quoted(list));
    format!(
        "\
# Keeps one list at a destination equal to a selection of one dataset. The sync's name is this file's.
version: 1

# Snapshots are the Parquet files under datasets/{dataset}/ of the bucket.
dataset: {dataset}

# What identifies a record. Several columns: [country, customer_id]
key: {key}

# Who belongs into the list; everybody, if left out. A condition, or a whole statement:
# selection: {{ where: \"consent AND country = 'DE'\" }}
# selection: {{ sql: \"SELECT * FROM dataset WHERE orders > 3\" }}

# Which column goes to which field of the destination. Only mapped columns are compared and sent. The destination matches
# people by the identifiers. More per field: normalize (email, phone, trim, lowercase …), hash (sha256), max_length.
mapping:
{mapping}
destination: {destination}
list: {list}

# mirror: who leaves the selection is removed. upsert: nobody is removed. Also add_only, update_only, remove_only.
mode: mirror

# When runs are planned: weekly, daily, hourly, manual, rate(12 hours), cron(0 6 ? * MON-FRI *),
# or as soon as enough has changed: {{ on_change: {{ min_changes: 1000, max_wait: 1d }} }}
schedule: weekly

# More removals than this are held until somebody approves them (driftless approve).
guards:
  max_removals: {{ share: 10%, at_least: 100 }}

# Members that the list has before the first run. refuse: it must be empty, where it can be read. ignore: they stay.
first_sync: refuse
"
    )
}

fn rest_yaml(identifier: &Field) -> String {
    let name = quoted(identifier.name());
    let pointer = quoted(&format!("/{}", identifier.name().replace('~', "~0").replace('/', "~1")));
    format!(
        r#"# An HTTP API, described by its requests and answers. `driftless schema destination` prints every key.
version: 1
kind: rest
base_url: https://api.example.com/v1

# How we log in. The secret lies in AWS Secrets Manager; other ways: basic, header, oauth2_client_credentials.
# auth:
#   bearer:
#     token: {{ secret: my-api-token }}

# What the API allows; all functions share it.
rate: {{ requests: 10, per: 1s }}

# How many records one request carries.
batch: {{ records: 500 }}

# A request that is refused is refused for one of its records: it is cut in half until that one is found.
all_or_nothing: true

add:
  method: POST
  path: /lists/{{{{ list }}}}/members
  body:
    json:
      records:
        $each_record: "{{{{ record.fields }}}}"

update:
  method: PUT
  path: /lists/{{{{ list }}}}/members
  body:
    json:
      records:
        $each_record: "{{{{ record.fields }}}}"

remove:
  method: POST
  path: /lists/{{{{ list }}}}/members/remove
  body:
    json:
      records:
        $each_record: "{{{{ record.identifiers }}}}"

# How the list is read: for `check`, and to see whether it is empty before the first run.
list:
  path: /lists/{{{{ list }}}}/members
  query:
    cursor: "{{{{ cursor | default(omit) }}}}"
  items: /records
  identifiers:
    {name}: {pointer}
  next:
    cursor: /next
"#
    )
}

fn scim_yaml(identifier: &Field, columns: &[&Field]) -> String {
    let mut attributes = format!("  userName: {}\n", quoted(identifier.name()));
    let names = [
        ("name.givenName", ["first_name", "given_name", "firstname"]),
        ("name.familyName", ["last_name", "family_name", "lastname"]),
    ];
    for (attribute, columns_of) in names {
        if let Some(column) = columns.iter().find(|c| columns_of.contains(&c.name().to_lowercase().as_str())) {
            attributes.extend(["  ", attribute, ": ", &quoted(column.name()), "\n"]);
        }
    }
    format!(
        "\
# A SCIM 2.0 service. `driftless schema destination` prints every key.
version: 1
kind: scim
base_url: https://example.com/scim/v2

# How we log in. The secret lies in AWS Secrets Manager.
# auth:
#   bearer:
#     token: {{ secret: my-scim-token }}

# group: the list is a group, and a removal ends the membership. user: the list is all users, and a removal deactivates.
mode: group
group:
  # Create the group where it is missing.
  create: true

# User attributes, and the fields that they take their values from.
attributes:
{attributes}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{population, write};

    fn init(dir: &Path, kind: Kind, extra: Option<&str>) -> anyhow::Result<Ended> {
        let data = dir.join("customers.parquet");
        write(&data, 1, &population(50, 0.0, 1, 0), |_| {}).unwrap();
        let init = Init {
            data,
            dataset: None,
            name: None,
            destination: None,
            kind,
            list: "Newsletter".into(),
            key: extra.map(Into::into),
            identifier: None,
        };
        init.run(&global(dir))
    }

    fn global(dir: &Path) -> Global {
        Global {
            project: dir.to_owned(),
            stage: None,
            bucket: None,
            profile: None,
            region: None,
            endpoint_url: None,
            json: true,
            allow_private_destinations: false,
        }
    }

    #[test]
    fn what_is_written_is_valid_for_every_kind() {
        for kind in [Kind::Rest, Kind::Scim] {
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(init(dir.path(), kind, None).unwrap(), Ended::Well);
            let project = load_project(dir.path());
            assert_eq!(project.problems, []);
            let sync = project.syncs.values().next().unwrap();
            assert_eq!((sync.key.single(), sync.dataset.to_string().as_str()), (Some("customer_id"), "main/customers"));
            let identifiers: Vec<_> = sync.mapping.identifiers().map(|f| f.column.as_str()).collect();
            assert_eq!(identifiers, ["email"]);
        }
    }

    #[test]
    fn a_column_that_is_not_there_is_named_with_those_that_are() {
        let dir = tempfile::tempdir().unwrap();
        let error = init(dir.path(), Kind::Rest, Some("id")).unwrap_err().to_string();
        assert!(error.contains("no column `id`") && error.contains("customer_id, email"), "{error}");
    }

    #[test]
    fn names_that_yaml_would_read_otherwise_are_quoted() {
        assert_eq!(
            (quoted("email").as_str(), quoted("no").as_str(), quoted("e mail").as_str()),
            ("email", "\"no\"", "\"e mail\"")
        );
    }
}

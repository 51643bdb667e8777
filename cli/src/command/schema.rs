use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use driftless_config::{destination_schema, project_schema, sync_schema};
use serde_json::{Value, json};

use crate::Ended;
use crate::args::Global;
use crate::output::{line, show};

/// Print the JSON Schemas of the project's files, for editors.
///
/// A file that begins with `# yaml-language-server: $schema=<path>` is completed and checked while it is written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless schema sync > sync.schema.json
  driftless schema --out .schemas")]
pub(crate) struct Schema {
    /// Which file's; all of them, as one document, if left out.
    of: Option<Which>,
    /// Write `sync.schema.json`, `destination.schema.json` and `project.schema.json` to this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "of")]
    out: Option<PathBuf>,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// `syncs/*.yaml`
    Sync,
    /// `destinations/*.yaml`
    Destination,
    /// `driftless.yaml`
    Project,
}

impl Which {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Sync, "sync"), (Self::Destination, "destination"), (Self::Project, "project")];

    fn schema(self) -> Value {
        match self {
            Self::Sync => sync_schema(),
            Self::Destination => destination_schema(),
            Self::Project => project_schema(),
        }
    }
}

impl Schema {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Ended> {
        if let Some(dir) = &self.out {
            std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
            let mut written = Vec::new();
            for (which, name) in Which::ALL {
                let path = dir.join(format!("{name}.schema.json"));
                let text = serde_json::to_string_pretty(&which.schema())? + "\n";
                std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
                written.push(path.display().to_string());
            }
            show(global.json, &json!({ "written": written }), || written.join("\n"))?;
            return Ok(Ended::Well);
        }
        let schema = match self.of {
            Some(which) => which.schema(),
            None => Which::ALL.into_iter().map(|(which, name)| (name.to_owned(), which.schema())).collect(),
        };
        line(&serde_json::to_string_pretty(&schema)?)?;
        Ok(Ended::Well)
    }
}

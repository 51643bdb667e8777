//! `selection: { ids_file: … }`: the ids of a text file take the place of its name when the configuration is loaded, so
//! that what is applied is whole in itself.

use std::{
    fs::File,
    io::{self, Read},
    path::{Component, Path},
};

use crate::yaml::{Content, Located, Node};

/// The most bytes of one ids file. Its ids become part of a document that every run reads.
const MAX_BYTES: u64 = 64 << 20;

/// Puts the ids of the file in the place of its name. Does nothing to a document that names none.
///
/// # Errors
/// The file cannot be read, is not text, is too large, or is not beside or below `folder`.
pub(crate) fn inline(root: &mut Node, folder: &Path) -> Result<(), Located> {
    let Some(selection) = root.entry_mut("selection") else {
        return Ok(());
    };
    let Some(entry) = selection.value.entry_mut("ids_file") else {
        return Ok(());
    };
    let at = entry.value.at;
    let problem = |message: String, remedy: &str| Located {
        at,
        key: "selection.ids_file".to_owned(),
        message,
        remedy: remedy.to_owned(),
    };
    let Some(name) = entry.value.text() else {
        let found = entry.value.kind();
        return Err(problem(
            format!("expected the path of a file, found {found}"),
            "write a path relative to this file",
        ));
    };
    let path = Path::new(name);
    if name.is_empty() || !path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        let remedy = "put the file beside this one or below it and write a relative path";
        return Err(problem("the path leaves the folder of this file".to_owned(), remedy));
    }
    let text = read(&folder.join(path)).map_err(|e| {
        problem(
            format!("`{name}` cannot be read: {e}"),
            "check that the file is there, is text, and has at most 64 MiB",
        )
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let ids = lines.map(|line| Node::new(at, Content::Text(line.to_owned()))).collect();
    "ids".clone_into(&mut entry.key);
    entry.value = Node::new(at, Content::List(ids));
    Ok(())
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    Ok(text)
}

//! A folder of configuration, with what can be wrong between its files.

use std::{fs, path::Path};

use driftless_config::{Project, load_project};

const SYNC: &str =
    "version: 1\ndataset: acme/customers\nkey: email\nmapping: { email: email }\ndestination: mail\nlist: a\n";
const MAIL: &str = "version: 1\nkind: scim\nbase_url: https://directory.example\n";

fn project(files: &[(&str, &str)]) -> (Project, Vec<String>) {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        fs::write(file, text).expect("a file");
    }
    let project = load_project(dir.path());
    let prefix = format!("{}/", dir.path().display());
    let said = project.problems.iter().map(|p| p.to_string().replace(&prefix, "")).collect();
    (project, said)
}

#[test]
fn problems_of_all_files_are_reported_together() {
    let (project, said) = project(&[
        ("driftless.yaml", "stage: Prod\n"),
        ("destinations/mail.yaml", "version: 1\nkind: scim\nbase_ulr: x\n"),
        ("syncs/a.yaml", &SYNC.replace("key:", "kye:")),
        ("syncs/b.yaml", &SYNC.replace("email: email", "email: [1]")),
    ]);
    assert_eq!(
        said,
        [
            "destinations/mail.yaml:3:1: base_ulr: unknown key; did you mean `base_url`?",
            "driftless.yaml:1:8: stage: this cannot be part of the names of resources; write 1 to 20 characters of a-z, 0-9 and -, \
             starting with a letter or digit",
            "syncs/a.yaml:3:1: kye: unknown key; did you mean `key`?",
            "syncs/b.yaml:4:19: mapping.email: expected a column name, or a map with `column` and its settings, found a list; \
             write a column name, or a map with `column` and its settings",
        ]
    );
    assert!(project.syncs.is_empty() && project.destinations.is_empty());
}

#[test]
fn a_destination_that_has_no_file_is_a_problem_of_the_sync() {
    let (_, said) = project(&[("destinations/mail.yaml", MAIL), ("syncs/a.yaml", &SYNC.replace(": mail", ": mial"))]);
    assert_eq!(said, ["syncs/a.yaml:5:14: destination: there is no destination `mial`; did you mean `mail`?"]);
    let (_, said) = project(&[("syncs/a.yaml", SYNC)]);
    assert_eq!(
        said,
        ["syncs/a.yaml:5:14: destination: there is no destination `mail`; describe it in destinations/mail.yaml"]
    );
}

#[test]
fn two_syncs_do_not_fight_over_one_list() {
    let files = |mode: &str| {
        project(&[
            ("destinations/mail.yaml", MAIL),
            ("syncs/a.yaml", SYNC),
            ("syncs/b.yaml", &format!("{SYNC}mode: {mode}\n")),
            ("syncs/c.yaml", &SYNC.replace("list: a", "list: c")),
        ])
        .1
    };
    let fight = "syncs/b.yaml:6:7: list: the sync `a` mirrors its selection to the same list, and would fight with this one; give \
                 each its own list, or select both in one sync";
    assert_eq!(files("upsert"), [fight]);
    assert_eq!(files("mirror"), [fight]);
    assert_eq!(files("remove_only"), [""; 0]);
}

#[test]
fn files_that_cannot_be_meant_are_not_passed_over() {
    let (_, said) = project(&[
        ("destinations/mail.yaml", MAIL),
        ("syncs/a.yaml", SYNC),
        ("syncs/b.yml", SYNC),
        ("syncs/Big Name.yaml", SYNC),
        ("syncs/notes.txt", "anything"),
        ("syncs/.hidden", "anything"),
    ]);
    assert_eq!(
        said,
        [
            "syncs/Big Name.yaml: the name of the file cannot be used: a sync name must be 1 to 60 characters of a-z, 0-9, '-' and \
             '_', starting with a letter or digit; rename the file",
            "syncs/b.yml: files are read by the ending .yaml only; rename it to end in .yaml",
        ]
    );
    assert_eq!(
        project(&[]).1,
        ["syncs: there is no sync in this folder; write one to syncs/<name>.yaml, or let `driftless init` write it"]
    );
}

#[test]
fn others_report_problems_at_the_place_of_the_key() {
    let (project, _) = project(&[("destinations/mail.yaml", MAIL), ("syncs/a.yaml", SYNC)]);
    let sync = "a".parse().expect("a name");
    let problem = project.sync_problem(&sync, "mapping.email.column", "there is no column `email`", "name a column");
    assert_eq!((problem.line, problem.column), (4, 19));
    let defaulted = project.sync_problem(&sync, "mode", "the destination cannot remove", "write mode: upsert");
    assert_eq!((defaulted.line, defaulted.column), (1, 1));
    assert!(defaulted.file.ends_with(Path::new("syncs/a.yaml")));
}

//! The samples: good ones load and survive a round trip, bad ones are refused with the words written beside them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use driftless_config::{
    Limit, Problem, Project, Schedule, Selection, Share, Strategy, Sync, load_project, parse_destination, parse_sync,
};

fn samples(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(folder)
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder of samples");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn good() -> Project {
    let project = load_project(&samples("good"));
    assert!(project.problems.is_empty(), "{:#?}", project.problems);
    project
}

/// Compares with the file `<name>.problems`; writes it instead if `DRIFTLESS_BLESS` is set.
fn refused<T>(file: &Path, result: Result<T, Vec<Problem>>) {
    let Err(problems) = result else { panic!("{} is accepted", file.display()) };
    let name = file.file_name().expect("a file name");
    let lines = problems.into_iter().map(|p| Problem { file: name.into(), ..p }.to_string() + "\n");
    let said: String = lines.collect();
    let beside = file.with_extension("problems");
    if env::var_os("DRIFTLESS_BLESS").is_some() {
        fs::write(&beside, &said).expect("the expectation can be written");
    }
    assert_eq!(said, fs::read_to_string(&beside).unwrap_or_default(), "{}", beside.display());
}

#[test]
fn good_samples_load_without_a_problem_and_read_back_from_json() {
    let project = good();
    assert_eq!((project.syncs.len(), project.destinations.len()), (5, 2));
    for (name, sync) in &project.syncs {
        let json = serde_json::to_string(sync).expect("serialises");
        assert_eq!(&serde_json::from_str::<Sync>(&json).expect("reads back"), sync, "{name}");
    }
    for (name, destination) in &project.destinations {
        let json = serde_json::to_string(destination).expect("serialises");
        assert_eq!(
            &serde_json::from_str::<driftless_config::Destination>(&json).expect("reads back"),
            destination,
            "{name}"
        );
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let sync = &good().syncs[&"newsletter".parse().expect("a name")];
    assert_eq!(sync.selection, Selection::Everything);
    assert_eq!(sync.schedule, Schedule::default());
    assert_eq!((sync.guards.max_removals.of(200), sync.guards.max_removals.of(10_000)), (100, 1_000));
    assert_eq!((sync.success_threshold, sync.attempt_limit, sync.deadline.as_secs()), (Share::ALL, 3, 86_400));
    assert!(sync.mapping.fields()[0].identifier, "the field of the key column is the identifier");
}

#[test]
fn what_is_written_is_read() {
    let project = good();
    let vip = &project.syncs[&"vip-audience".parse().expect("a name")];
    assert_eq!(vip.strategy, Strategy::Delta);
    assert_eq!(vip.guards.max_adds, Some(Limit::Count(20_000)));
    assert_eq!(
        vip.mapping.fields().iter().map(|f| f.field.as_str()).collect::<Vec<_>>(),
        ["email", "first_name", "landline", "mobile_id", "phone"]
    );
    let seats = &project.syncs[&"seats".parse().expect("a name")];
    let Selection::Ids(ids) = &seats.selection else { panic!("{:?}", seats.selection) };
    let ids: Vec<_> = ids.iter().map(driftless_model::RecordKey::as_str).collect();
    assert_eq!(ids, [r#"["acme","1"]"#, r#"["acme","2"]"#, r#"["zenith","1"]"#]);
    assert_eq!(project.settings.region.as_deref(), Some("eu-central-1"));
}

#[test]
fn content_identifies_the_records_of_an_empty_key() {
    let sync = &good().syncs[&"observations".parse().expect("a name")];
    assert!(sync.key.is_content());
    let identifiers: Vec<_> = sync.mapping.identifiers().map(|f| f.column.as_str()).collect();
    assert_eq!(identifiers, [driftless_config::RECORD_KEY], "the field of the key is the identifier");
}

#[test]
fn bad_syncs_are_refused_with_all_that_is_wrong() {
    for file in yaml_files(&samples("bad")) {
        refused(&file, parse_sync(&fs::read_to_string(&file).expect("a sample"), &file));
    }
}

#[test]
fn bad_destinations_are_refused_with_all_that_is_wrong() {
    for file in yaml_files(&samples("bad-destinations")) {
        refused(&file, parse_destination(&fs::read_to_string(&file).expect("a sample"), &file));
    }
}

#[test]
fn a_plain_secret_is_never_repeated() {
    let file = samples("bad-destinations/plain-secret.yaml");
    let problems = parse_destination(&fs::read_to_string(&file).expect("a sample"), &file).expect_err("refused");
    assert!(!format!("{problems:?}").contains("hunter2"));
}

//! Holds the templates to the rules of AWS that no linter knows: the arithmetic between timeouts, visibility, retention and
//! redrive, what each function may touch, and what must raise an alarm. The defaults are what is checked: they are what a
//! user deploys.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "template_contract/cloudformation.rs"]
mod cloudformation;

use std::{collections::BTreeSet, fs};

use cloudformation::{Found, Stack, number, root};
use serde_json::Value;

const FUNCTION: &str = "AWS::Serverless::Function";
const QUEUE: &str = "AWS::SQS::Queue";
/// The most that a synchronous invocation of a function takes (AWS Lambda quotas).
const MAX_PAYLOAD: u64 = 6 * 1024 * 1024;
/// The most that a message may be (Amazon SQS quotas, since August 2025).
const MAX_MESSAGE: u64 = 1024 * 1024;
const FOURTEEN_DAYS: u64 = 14 * 24 * 60 * 60;
/// What a queue keeps when nothing is said (Amazon SQS, `MessageRetentionPeriod`).
const FOUR_DAYS: u64 = 4 * 24 * 60 * 60;
const LANDING: &str = "datasets/";

fn core() -> Stack {
    Stack::load("template.yaml").expect("the core template reads")
}

fn stacks() -> [Stack; 2] {
    [core(), Stack::load("infra/connector.yaml").expect("the connector template reads")]
}

/// Every function with its only event: its name, its properties, and the queue that feeds it.
fn for_each_function(mut check: impl FnMut(&Stack, Found<'_>, &Value, Found<'_>)) {
    let mut count = 0;
    for stack in &stacks() {
        for function in stack.everywhere(FUNCTION) {
            let events = function.property("Events");
            let events: Vec<_> = events.as_object().expect("a function has events").values().collect();
            let [event] = events.as_slice() else { panic!("{function}: not one event") };
            assert_eq!(event["Type"], "SQS", "{function}: everything reaches a function through a queue");
            let queue = function.stack.follow(&event["Properties"]["Queue"]);
            let queue = queue.unwrap_or_else(|| panic!("{function}: its queue is not in the templates"));
            assert_eq!(queue.resource["Type"], QUEUE, "{function}");
            check(stack, function, &event["Properties"], queue);
            count += 1;
        }
    }
    assert_eq!(count, 4, "ingest, planner, janitor, connector");
}

/// The queues that a function reads, and their dead-letter queues.
fn for_each_queue_pair(mut check: impl FnMut(&Stack, Found<'_>, Found<'_>)) {
    for_each_function(|stack, function, _, queue| {
        let target = &queue.property("RedrivePolicy")["deadLetterTargetArn"];
        let dead = queue.stack.follow(target).unwrap_or_else(|| panic!("{function}: no dead-letter queue"));
        check(stack, queue, dead);
    });
}

#[test]
fn a_message_stays_invisible_for_six_timeouts_and_the_window() {
    for_each_function(|_, function, event, queue| {
        let window = number(&event["MaximumBatchingWindowInSeconds"]).unwrap_or(0);
        let least = 6 * function.number("Timeout") + window;
        let visibility = queue.number("VisibilityTimeout");
        assert!(visibility >= least, "{function}: visibility {visibility} s, at least {least} s are needed");
        assert!(visibility <= 43_200, "{function}: SQS allows 12 h");
    });
}

#[test]
fn failures_are_reported_per_message() {
    for_each_function(|_, function, event, _| {
        assert_eq!(event["FunctionResponseTypes"], serde_json::json!(["ReportBatchItemFailures"]), "{function}");
    });
}

#[test]
fn concurrency_is_bounded_at_the_queue_and_not_below_what_is_reserved() {
    for_each_function(|_, function, event, _| {
        let most = number(&event["ScalingConfig"]["MaximumConcurrency"]).expect("a maximum");
        assert!((2..=1000).contains(&most), "{function}: {most}");
        let told = number(&function.property("Environment")["Variables"]["DRIFTLESS_CONCURRENCY"]);
        let shares = function.to_string().contains("connector");
        assert_eq!(told, shares.then_some(most), "{function}: it divides the destination's concurrency by it");
        if let Some(reserved) = number(&function.property("ReservedConcurrentExecutions")) {
            assert!(
                most <= reserved,
                "{function}: pollers above the reserved concurrency make dead letters of good messages"
            );
        }
    });
}

#[test]
fn a_batch_fits_into_an_invocation() {
    for_each_function(|_, function, event, queue| {
        let batch = number(&event["BatchSize"]).expect("a batch size");
        let message = number(&queue.property("MaximumMessageSize")).unwrap_or(MAX_MESSAGE);
        assert!(batch * message <= MAX_PAYLOAD, "{function}: {batch} messages of {message} bytes");
    });
}

#[test]
fn a_message_is_received_at_least_five_times_before_it_is_a_dead_letter() {
    for_each_queue_pair(|_, queue, _| {
        let receives = number(&queue.property("RedrivePolicy")["maxReceiveCount"]).expect("a receive count");
        assert!(receives >= 5, "{queue}: {receives}");
    });
}

#[test]
fn dead_letters_are_kept_longer_than_their_source_keeps_them() {
    for_each_queue_pair(|_, queue, dead| {
        let source = number(&queue.property("MessageRetentionPeriod")).unwrap_or(FOUR_DAYS);
        assert!(source >= FOUR_DAYS, "{queue}: a weekend is not long enough");
        assert_eq!(dead.number("MessageRetentionPeriod"), FOURTEEN_DAYS, "{dead}");
        assert!(source < FOURTEEN_DAYS, "{queue}");
    });
}

#[test]
fn every_queue_is_a_source_or_a_dead_letter_queue_and_encrypted() {
    let mut known = BTreeSet::new();
    for_each_queue_pair(|_, queue, dead| known.extend([queue.to_string(), dead.to_string()]));
    for stack in &stacks() {
        for queue in stack.everywhere(QUEUE) {
            assert!(known.contains(&queue.to_string()), "{queue}: nothing reads it");
            assert_eq!(queue.property("SqsManagedSseEnabled"), true, "{queue}");
        }
    }
}

#[test]
fn functions_run_on_arm64_and_log_json_into_a_group_with_retention() {
    for_each_function(|stack, function, _, _| {
        let globals = stack.resolve(&stack.document["Globals"]["Function"]);
        let either = |name: &str| match function.property(name) {
            Value::Null => globals[name].clone(),
            own => own,
        };
        assert_eq!(either("Runtime"), "provided.al2023", "{function}");
        assert_eq!(either("Architectures"), serde_json::json!(["arm64"]), "{function}");
        let logging = function.property("LoggingConfig");
        assert_eq!(logging["LogFormat"], "JSON", "{function}");
        let group = function.stack.follow(&logging["LogGroup"]).expect("a log group of its own");
        assert!(group.number("RetentionInDays") >= 1, "{group}");
    });
}

/// Whether a stack has an alarm on a metric of a resource, that goes to a topic.
fn has_alarm(stack: &Stack, metric: &str, of: Found<'_>) -> bool {
    let parents = stack.all();
    stack.everywhere("AWS::CloudWatch::Alarm").iter().any(|alarm| {
        let dimension = &alarm.property("Dimensions")[0]["Value"];
        // In a nested stack the dimension is a parameter, which is what the parent passed: follow it from there.
        let found = parents.iter().find_map(|parent| parent.follow(dimension));
        alarm.property("MetricName") == metric
            && found.is_some_and(|found| found.is(&of))
            && alarm.property("AlarmActions").as_array().is_some_and(|actions| !actions.is_empty())
    })
}

#[test]
fn every_queue_has_an_alarm_on_its_age_and_on_its_dead_letters() {
    for_each_queue_pair(|stack, queue, dead| {
        assert!(has_alarm(stack, "ApproximateAgeOfOldestMessage", queue), "{queue}: no alarm on its age");
        assert!(has_alarm(stack, "ApproximateNumberOfMessagesVisible", dead), "{dead}: no alarm");
    });
    for_each_function(|stack, function, _, _| {
        assert!(has_alarm(stack, "Errors", function), "{function}: no alarm on errors");
    });
}

#[test]
fn what_only_a_person_can_solve_raises_an_alarm() {
    let stack = core();
    let alarms = stack.everywhere("AWS::CloudWatch::Alarm");
    for metric in ["runs_failed_count", "syncs_held_count", "syncs_needing_attention_count"] {
        let alarm = alarms.iter().find(|alarm| alarm.property("MetricName") == metric);
        let alarm = alarm.unwrap_or_else(|| panic!("no alarm on {metric}"));
        assert_eq!(alarm.property("Namespace"), "Driftless", "{alarm}");
        assert_eq!(alarm.property("Dimensions")[0]["Name"], "stage", "{alarm}");
    }
}

/// Every statement of every policy: of roles, of queues, of buckets.
fn for_each_statement(mut check: impl FnMut(Found<'_>, &Value)) {
    let mut count = 0;
    for stack in &stacks() {
        for part in stack.all() {
            for kind in ["AWS::IAM::Role", "AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", FUNCTION] {
                for found in part.of_type(kind) {
                    let inline = found.property("Policies");
                    let inline = inline.as_array().into_iter().flatten().map(|policy| policy["PolicyDocument"].clone());
                    for document in inline.chain([found.property("PolicyDocument")]) {
                        for statement in document["Statement"].as_array().into_iter().flatten() {
                            check(found, statement);
                            count += 1;
                        }
                    }
                    assert!(
                        found.property("ManagedPolicyArns").is_null(),
                        "{found}: a managed policy allows what we do not see"
                    );
                }
            }
        }
    }
    assert!(count > 20, "the policies were not found");
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(map) => map.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// A statement with its conditional form unwrapped.
fn plain(statement: &Value) -> &Value {
    statement.get("Fn::If").map_or(statement, |choice| &choice[1])
}

#[test]
fn nothing_is_allowed_by_a_bare_star_or_on_a_whole_service() {
    for_each_statement(|found, statement| {
        let statement = plain(statement);
        if statement["Effect"] == "Deny" {
            return;
        }
        for action in texts(&statement["Action"]) {
            assert!(action.contains(':') && !action.contains('*'), "{found}: {action}");
        }
        assert!(statement["NotAction"].is_null() && statement["NotResource"].is_null(), "{found}");
        assert!(!texts(&statement["Principal"]).iter().any(|who| who == "*"), "{found}: anybody");
        for resource in texts(&statement["Resource"]).iter().map(|text| found.stack.filled(text)) {
            let Some((arn, rest)) = resource.split_once('*') else { continue };
            let object = arn.contains(":s3:::") && arn.ends_with('/') && !arn.ends_with("}/");
            let log_group = arn.contains(":log-group:") && arn.ends_with(':');
            assert!(rest.is_empty() && (object || log_group), "{found}: {resource}");
        }
    });
}

/// A call that waits for a job, or that reads a long list, comes back by a message that its own function sends; so does a tick that
/// meets a comparison.
#[test]
fn who_comes_back_may_send_to_its_own_queue() {
    for_each_function(|stack, function, _, queue| {
        if !["Function", "PlannerFunction"].contains(&function.id) {
            return;
        }
        let mut may_send = false;
        for role in stack.everywhere("AWS::IAM::Role") {
            let policies = role.property("Policies");
            let statements = policies.as_array().into_iter().flatten().map(|p| &p["PolicyDocument"]["Statement"]);
            for statement in statements.flat_map(|s| s.as_array().into_iter().flatten()).map(plain) {
                let sends = texts(&statement["Action"]).iter().any(|action| action == "sqs:SendMessage");
                let to = statement["Resource"].as_array().into_iter().flatten().filter_map(|r| role.stack.follow(r));
                may_send |= sends && to.into_iter().any(|to| to.id == queue.id && to.stack.file == queue.stack.file);
            }
        }
        assert!(may_send, "{function}: cannot send to {queue}");
    });
}

#[test]
fn the_fixed_part_of_the_cost_counts_the_alarms_that_there_are() {
    let [core, destination] = stacks().map(|stack| stack.everywhere("AWS::CloudWatch::Alarm").len() as u64);
    assert_eq!(core, driftless_cost::ALARMS_OF_THE_CORE);
    assert_eq!(destination, driftless_cost::ALARMS_OF_A_DESTINATION);
    assert_eq!(stacks()[0].everywhere("AWS::SecretsManager::Secret").len(), 1, "the hash key");
}

#[test]
fn the_bucket_answers_over_tls_only() {
    let mut found_it = false;
    for_each_statement(|_, statement| {
        found_it |= statement["Effect"] == "Deny"
            && statement["Principal"] == "*"
            && statement["Condition"]["Bool"]["aws:SecureTransport"] == "false";
    });
    assert!(found_it);
}

#[test]
fn tables_can_be_recovered_are_protected_and_forget_what_expired() {
    let stack = core();
    let tables = stack.everywhere("AWS::DynamoDB::Table");
    assert_eq!(tables.len(), 1);
    for table in tables {
        assert_eq!(table.property("PointInTimeRecoverySpecification")["PointInTimeRecoveryEnabled"], true);
        assert_eq!(table.property("DeletionProtectionEnabled"), "true", "the default protects");
        let ttl = table.property("TimeToLiveSpecification");
        assert_eq!((&ttl["AttributeName"], &ttl["Enabled"]), (&"expires_at".into(), &true.into()));
        assert_eq!(table.property("SSESpecification")["SSEEnabled"], true);
        assert_eq!(table.property("BillingMode"), "PAY_PER_REQUEST");
        assert_eq!(table.resource["UpdateReplacePolicy"], "Retain");
    }
}

#[test]
fn the_bucket_is_versioned_private_encrypted_and_keeps_histories() {
    let stack = core();
    let buckets = stack.everywhere("AWS::S3::Bucket");
    let [bucket] = buckets.as_slice() else { panic!("not one bucket") };
    assert_eq!(bucket.property("VersioningConfiguration")["Status"], "Enabled");
    assert!(bucket.property("BucketEncryption").is_object());
    let blocks = bucket.property("PublicAccessBlockConfiguration");
    assert!(blocks.as_object().is_some_and(|blocks| blocks.len() == 4 && blocks.values().all(|v| *v == true)));
    for rule in bucket.property("LifecycleConfiguration")["Rules"].as_array().expect("rules") {
        let prefix = rule["Prefix"].as_str().unwrap_or("");
        let expires = !rule["ExpirationInDays"].is_null();
        assert!(
            !expires || ["changesets/", "members/", "reports/"].contains(&prefix),
            "current objects under {prefix} would be lost"
        );
    }
}

#[test]
fn what_driftless_writes_never_triggers_it() {
    let stack = core();
    let buckets = stack.everywhere("AWS::S3::Bucket");
    let notifications = buckets[0].property("NotificationConfiguration");
    let configurations = notifications["QueueConfigurations"].as_array().expect("notifications");
    assert!(!configurations.is_empty());
    for configuration in configurations {
        let rule = &configuration["Filter"]["S3Key"]["Rules"][0];
        assert_eq!((&rule["Name"], &rule["Value"]), (&"prefix".into(), &LANDING.into()));
    }
    for_each_statement(|found, statement| {
        let actions = texts(&plain(statement)["Action"]);
        if actions.iter().any(|action| action == "s3:PutObject" || action == "s3:DeleteObject") {
            for resource in texts(&plain(statement)["Resource"]) {
                assert!(!resource.contains(LANDING), "{found}: may write under the landing prefix");
            }
        }
    });
}

#[test]
fn a_claim_outlives_the_function_that_took_it() {
    let [_, connector] = stacks();
    let functions = connector.everywhere(FUNCTION);
    let lease = number(&functions[0].property("Environment")["Variables"]["DRIFTLESS_LEASE_SECONDS"]).expect("a lease");
    assert!(lease > functions[0].number("Timeout"));
}

#[test]
fn a_destination_imports_only_what_the_core_exports() {
    fn names(value: &Value, key: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (k, v) in map {
                    if k == key {
                        into.extend(texts(v));
                    }
                    names(v, key, into);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| names(item, key, into)),
            _ => {}
        }
    }
    let [core, connector] = stacks();
    let (mut exported, mut imported) = (BTreeSet::new(), BTreeSet::new());
    for output in core.document["Outputs"].as_object().expect("outputs").values() {
        exported.extend(texts(&output["Export"]["Name"]));
    }
    names(&connector.document, "Fn::ImportValue", &mut imported);
    assert!(!imported.is_empty());
    assert_eq!(imported.difference(&exported).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_function_has_events_to_be_invoked_with() {
    let mut cases = 0;
    for function in ["ingest", "planner", "janitor", "connector"] {
        let folder = root().join("events").join(function);
        let files = fs::read_dir(&folder).unwrap_or_else(|_| panic!("events/{function} is missing"));
        for file in files.map(|file| file.expect("readable").path()) {
            let event: Value = serde_json::from_slice(&fs::read(&file).expect("readable")).expect("JSON");
            let records = event["Records"].as_array().expect("records of SQS");
            assert!(!records.is_empty(), "{}", file.display());
            for record in records {
                let arn = record["eventSourceARN"].as_str().expect("an ARN");
                let queue = if function == "connector" { "-to-" } else { function };
                assert!(arn.contains(queue) && record["body"].is_string(), "{}", file.display());
                assert!(record["messageId"].as_str().is_some_and(|id| !id.is_empty()), "{}", file.display());
            }
            cases += 1;
        }
    }
    assert!(cases >= 20, "{cases}");
}

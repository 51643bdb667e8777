"""Drives a stub of Klaviyo with the vendor's SDK. Only the host is another."""

import sys

from klaviyo_api import KlaviyoAPI

klaviyo = KlaviyoAPI("s3cr3t", max_retries=0, test_host=sys.argv[1])


def profiles(*emails):
    return [{"type": "profile", "attributes": {"email": email, "first_name": "A"}} for email in emails]


def field(value, name):
    return value[name] if isinstance(value, dict) else getattr(value, name)


def path(value, *names):
    for name in names:
        value = field(value, name)
    return value


job = klaviyo.Profiles.bulk_import_profiles(
    {
        "data": {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": profiles("a@example.com", "b@example.com", "bad@example.com")}},
            "relationships": {"lists": {"data": [{"type": "list", "id": "L1"}]}},
        }
    }
)
id = path(job, "data", "id")
for _ in range(2):
    job = klaviyo.Profiles.get_bulk_import_profiles_job(id)
errors = klaviyo.Profiles.get_errors_for_bulk_import_profiles_job(id)
found = klaviyo.Profiles.get_profiles(filter='any(email,["a@example.com"])')
members = {"data": [{"type": "profile", "id": path(profile, "id")} for profile in field(found, "data")]}
klaviyo.Lists.remove_profiles_from_list("L1", members)
removed = klaviyo.Lists.get_profiles_for_list("L1")
klaviyo.Lists.add_profiles_to_list("L1", members)
added = klaviyo.Lists.get_profiles_for_list("L1")
made = klaviyo.Lists.create_list({"data": {"type": "list", "attributes": {"name": "new"}}})
print(
    f"{path(job, 'data', 'attributes', 'status')}, "
    f"{path(job, 'data', 'attributes', 'failed_count')} failed for "
    f"{path(field(errors, 'data')[0], 'attributes', 'original_payload')['email']}; "
    f"{len(field(removed, 'data'))} after the removal, {len(field(added, 'data'))} after the addition; "
    f"list {path(made, 'data', 'id')}"
)

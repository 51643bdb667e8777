"""Mailchimp's own library against our stub: adds, changes, lists, archives. Only the host is changed."""

import hashlib
import sys

import mailchimp_marketing

base_url, audience = sys.argv[1:]
client = mailchimp_marketing.Client()
client.set_config({"api_key": "s3cr3t", "server": "us1"})
client.api_client.host = base_url

assert client.ping.get()["health_status"]


def member(address, name):
    return {"email_address": address, "status": "subscribed", "merge_fields": {"first_name": name}}


def add(*members, update_existing):
    return client.lists.batch_list_members(audience, {"members": list(members), "update_existing": update_existing})


ada, grace = "Ada@example.com", "grace@example.com"
done = add(member(ada, "Ada"), member(grace, "Grace"), update_existing=False)
assert (done["total_created"], done["error_count"]) == (2, 0), done

again = add(member(ada, "Ada"), update_existing=False)
assert [e["error_code"] for e in again["errors"]] == ["ERROR_CONTACT_EXISTS"], again
assert add(member(ada, "Countess"), update_existing=True)["total_updated"] == 1

page = client.lists.get_list_members_info(audience, count=1, offset=1)
assert page["total_items"] == 2 and len(page["members"]) == 1, page

key = hashlib.md5(ada.lower().encode()).hexdigest()
assert client.lists.get_list_member(audience, key)["merge_fields"]["first_name"] == "Countess"
assert client.lists.set_list_member(audience, key, member(ada, "Ada"))["id"] == key

client.lists.delete_list_member(audience, hashlib.md5(grace.encode()).hexdigest())
try:
    client.lists.get_list_member(audience, hashlib.md5(grace.encode()).hexdigest())
    raise AssertionError("an archived member is found")
except Exception as error:
    assert getattr(error, "status_code", None) == 404, error

"""Drives a stub of Meta Custom Audiences with the vendor's SDK. Only the host is another."""

import hashlib
import sys

from facebook_business import FacebookSession
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.customaudience import CustomAudience
from facebook_business.api import FacebookAdsApi

FacebookSession.GRAPH = sys.argv[1]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def payload(*emails):
    return {"schema": ["EMAIL"], "data": [[digest(email)] for email in emails]}


api = FacebookAdsApi(FacebookSession(access_token="s3cr3t"), api_version="v25.0")
audience = CustomAudience("77", api=api)

added = audience.create_user(params={"payload": payload("a@example.com", "b@example.com")})
removed = audience.delete_users(params={"payload": payload("a@example.com")})
for part, emails in ((1, ["c@example.com", "d@example.com"]), (2, ["e@example.com"])):
    session = {"session_id": 42, "batch_seq": part, "last_batch_flag": part == 2, "estimated_num_total": 3}
    replaced = audience.create_users_replace(params={"payload": payload(*emails), "session": session})
sessions = audience.get_sessions(params={"session_id": 42})
made = AdAccount("act_9", api=api).create_custom_audience(
    params={"name": "new", "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY"}
)
print(
    f"added {added['num_received']}, removed {removed['num_received'] if removed else '?'}, "
    f"replaced by 3 in session {sessions[0]['session_id']}, audience {made['id']}"
)

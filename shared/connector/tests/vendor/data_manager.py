"""Reads requests and answers of the Data Manager API with the vendor's message classes, unknown fields forbidden."""

import json
import sys

from google.ads import datamanager_v1 as api

CLASSES = {
    "/v1/audienceMembers:ingest": api.IngestAudienceMembersRequest,
    "/v1/audienceMembers:remove": api.RemoveAudienceMembersRequest,
    "/v1/audienceMembers:removeAll": api.RemoveAllAudienceMembersRequest,
    "/v1/accountTypes/GOOGLE_ADS/accounts/1234567890/userLists": api.UserList,
    "accepted": api.IngestAudienceMembersResponse,
    "status": api.RetrieveRequestStatusResponse,
}

with open(sys.argv[1], encoding="utf-8") as file:
    messages = json.load(file)
for kind, body in messages:
    CLASSES[kind].from_json(json.dumps(body), ignore_unknown_fields=False)
for wrong in ({"destinatoins": []}, {"encoding": "HEXX"}):
    try:
        api.IngestAudienceMembersRequest.from_json(json.dumps(wrong), ignore_unknown_fields=False)
    except Exception:  # whatever it is called: it is refused
        continue
    sys.exit(f"{wrong} was not refused")
print(f"{len(messages)} read")

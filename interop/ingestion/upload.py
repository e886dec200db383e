"""Uploads N rows through Azure's SDK: upload.py ENDPOINT RULE STREAM N MARK."""

import sys
from datetime import datetime, timezone

from azure.core.exceptions import HttpResponseError
from azure.identity import ManagedIdentityCredential
from azure.monitor.ingestion import LogsIngestionClient

endpoint, rule, stream, count, mark = sys.argv[1:]
client = LogsIngestionClient(endpoint=endpoint, credential=ManagedIdentityCredential(), logging_enable=False)
now = datetime.now(timezone.utc).isoformat()
rows = [{"TimeGenerated": now, "Message": f"{mark}-{i}"} for i in range(int(count))]
try:
    client.upload(rule_id=rule, stream_name=stream, logs=rows)
except HttpResponseError as refused:
    print(f"refused: {refused.status_code} {refused.error.code if refused.error else ''}")
else:
    print("uploaded")

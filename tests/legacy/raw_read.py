"""A stream by the raw body, line by line."""

import json
import os

import requests

response = requests.post(
    os.environ["URL"],
    headers={"Authorization": f"Bearer {os.environ['KEY']}"},
    json={"model": "a/first", "messages": [{"role": "user", "content": "Hi!"}], "stream": True},
    stream=True,
    timeout=3,
)
print(response.status_code, flush=True)
for line in response.raw:
    if line.startswith(b"data: {"):
        delta = json.loads(line[6:])["choices"][0]["delta"]
        if delta.get("content"):
            print(delta["content"], flush=True)

"""A stream by sseclient-py over the response."""

import json
import os

import requests
import sseclient

response = requests.post(
    os.environ["URL"],
    headers={"Authorization": f"Bearer {os.environ['KEY']}", "Accept": "text/event-stream"},
    json={"model": "a/first", "messages": [{"role": "user", "content": "Hi!"}], "stream": True},
    stream=True,
    timeout=3,
)
print(response.status_code, flush=True)
for event in sseclient.SSEClient(response).events():  # type: ignore[arg-type]  # any iterable of bytes will do
    if event.data == "[DONE]":
        break
    delta = json.loads(event.data)["choices"][0]["delta"]
    if delta.get("content"):
        print(delta["content"], flush=True)

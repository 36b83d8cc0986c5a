"""A stream by ``iter_lines()``, decoded by hand."""

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
for line in response.iter_lines():
    if not line:
        continue
    text = line.decode("utf-8")
    if text.startswith("data: "):
        data = text[6:]
        if data == "[DONE]":
            break
        chunk = json.loads(data)
        for choice in chunk.get("choices", []):
            content = choice["delta"].get("content")
            if content:
                print(content, flush=True)

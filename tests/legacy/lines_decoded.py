"""A stream by ``iter_lines(decode_unicode=True)``, in a with block."""

import json
import os

import requests

with requests.post(
    os.environ["URL"],
    headers={"Authorization": f"Bearer {os.environ['KEY']}", "Accept": "text/event-stream"},
    json={"model": "a/first", "messages": [{"role": "user", "content": "Hi!"}], "stream": True},
    stream=True,
    timeout=3,
) as response:
    print(response.status_code, flush=True)
    response.raise_for_status()
    for line in response.iter_lines(decode_unicode=True):
        if line and line.startswith("data:") and line != "data: [DONE]":
            delta = json.loads(line[5:])["choices"][0]["delta"]
            if delta.get("content"):
                print(delta["content"], flush=True)

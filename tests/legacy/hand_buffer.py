"""A stream by ``iter_content`` and a buffer of one's own, as OpenRouter's documentation has it."""

import json
import os

import requests

payload = {"model": "a/first", "messages": [{"role": "user", "content": "Hi!"}], "stream": True}
buffer = ""
with requests.post(
    os.environ["URL"], headers={"Authorization": f"Bearer {os.environ['KEY']}"}, json=payload, stream=True, timeout=3
) as r:
    print(r.status_code, flush=True)
    for chunk in r.iter_content(chunk_size=1024, decode_unicode=True):
        buffer += chunk if isinstance(chunk, str) else chunk.decode()
        while True:
            end = buffer.find("\n")
            if end == -1:
                break
            line, buffer = buffer[:end].strip(), buffer[end + 1 :]
            if line.startswith("data: "):
                data = line[6:]
                if data == "[DONE]":
                    break
                try:
                    content = json.loads(data)["choices"][0]["delta"].get("content")
                except (json.JSONDecodeError, KeyError, IndexError):
                    continue
                if content:
                    print(content, flush=True)

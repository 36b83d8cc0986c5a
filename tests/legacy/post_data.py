"""A bare post with ``data=json.dumps(...)``, as OpenRouter's quick start has it."""

import json
import os

import requests

response = requests.post(
    url=os.environ["URL"],
    headers={"Authorization": f"Bearer {os.environ['KEY']}"},
    data=json.dumps({"model": "a/first", "messages": [{"role": "user", "content": "Hi!"}]}),
    timeout=3,
)
if response.status_code != 200:
    print(response.status_code, response.text)
else:
    print(response.status_code, response.json()["choices"][0]["message"]["content"])

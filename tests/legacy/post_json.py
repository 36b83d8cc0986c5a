"""A bare post with ``json=``, and its answer."""

import os

import requests

URL = os.environ["URL"]
HEADERS = {"Authorization": f"Bearer {os.environ['KEY']}", "HTTP-Referer": "https://example.com"}
response = requests.post(
    URL, headers=HEADERS, json={"model": "a/first", "messages": [{"role": "user", "content": "Hi!"}]}, timeout=3
)
print(response.status_code, response.json())

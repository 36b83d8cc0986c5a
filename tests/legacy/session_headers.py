"""A session with headers of its own, used twice."""

import os

import requests

session = requests.Session()
session.headers.update({"Authorization": f"Bearer {os.environ['KEY']}", "X-Title": "Legacy"})
messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}]
body = {"model": "a/first", "messages": messages}
for _ in range(2):
    answer = session.post(os.environ["URL"], json=body, timeout=3)
    print(answer.status_code, answer.ok, answer.headers["Content-Type"], answer.json())

"""A session with a mounted adapter that retries by itself."""

import os

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

session = requests.Session()
retries = Retry(total=1, backoff_factor=0, status_forcelist=[502, 503], allowed_methods=["POST"])
session.mount("http://", HTTPAdapter(max_retries=retries))
session.mount("https://", HTTPAdapter(max_retries=retries))
try:
    answer = session.post(
        os.environ["URL"],
        headers={"Authorization": f"Bearer {os.environ['KEY']}"},
        json={"model": "a/first", "messages": [{"role": "user", "content": "Hi!"}]},
        timeout=3,
    )
    print(answer.status_code, answer.json())
except requests.exceptions.RetryError:
    print("retried in vain")
except requests.exceptions.ConnectionError:
    print("no connection")

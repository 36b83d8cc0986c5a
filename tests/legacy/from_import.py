"""``from requests import post``, and errors told by their class."""

import os
from os import environ

from requests import RequestException, post

try:
    reply = post(
        environ["URL"],
        json={"model": "a/first", "messages": [{"role": "user", "content": "Hi!"}], "temperature": 0.5},
        headers={"Authorization": "Bearer " + os.environ["KEY"]},
        timeout=(3, 3),
    )
    print(reply.status_code, reply.json())
except RequestException as error:
    print("failed:", type(error).__name__)

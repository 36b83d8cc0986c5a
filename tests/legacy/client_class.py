"""A class that holds its session."""

import os
from typing import Any

import requests


class Client:
    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.auth = self._authorize
        self._key = key

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def chat(self, *messages: dict[str, str]) -> Any:
        payload = {"model": "a/first", "messages": list(messages), "stream": False}
        response = self.session.request("POST", self.url, json=payload, timeout=3)
        return response.status_code, response.json()


print(*Client(os.environ["URL"], os.environ["KEY"]).chat({"role": "user", "content": "Hi!"}))

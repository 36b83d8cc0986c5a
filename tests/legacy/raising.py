"""``raise_for_status`` and handlers for each kind of trouble."""

import os

import requests


def ask(prompt: str) -> str:
    try:
        response = requests.post(
            os.environ["URL"],
            headers={"Authorization": f"Bearer {os.environ['KEY']}", "Content-Type": "application/json"},
            json={"model": "a/first", "messages": [{"role": "user", "content": prompt}], "max_tokens": 50},
            timeout=3,
        )
        response.raise_for_status()
        data = response.json()
        if "error" in data:
            return f"the service said {data['error']['code']}"
        return str(data["choices"][0]["message"]["content"])
    except requests.exceptions.HTTPError as error:
        return f"http {error.response.status_code}"
    except requests.exceptions.Timeout:
        return "too slow"
    except requests.exceptions.ConnectionError:
        return "no connection"


print(ask("Hi!"))

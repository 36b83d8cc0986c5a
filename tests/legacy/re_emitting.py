"""A Flask view that hands a stream on to its own client, asked by Flask's test client."""

import json
import os
from collections.abc import Iterator

import requests
from flask import Flask, Response, stream_with_context

app = Flask(__name__)


@app.route("/chat")
def chat() -> Response:
    upstream = requests.post(
        os.environ["URL"],
        headers={"Authorization": f"Bearer {os.environ['KEY']}"},
        json={"model": "a/first", "messages": [{"role": "user", "content": "Hi!"}], "stream": True},
        stream=True,
        timeout=3,
    )

    def events() -> Iterator[bytes]:
        yield from upstream.iter_content(chunk_size=None)

    return Response(stream_with_context(events()), status=upstream.status_code, mimetype="text/event-stream")


with app.test_client() as client:
    answer = client.get("/chat", buffered=False)
    print(answer.status_code, flush=True)
    rest = b""
    for piece in answer.response:
        rest += piece if isinstance(piece, bytes) else piece.encode()
        *lines, rest = rest.split(b"\n")
        for line in lines:
            if line.startswith(b"data: {"):
                delta = json.loads(line[6:])["choices"][0].get("delta", {})
                if delta.get("content"):
                    print(delta["content"], flush=True)

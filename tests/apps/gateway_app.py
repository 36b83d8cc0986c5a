"""A host that mounts the gateway beside what it does itself."""

from __future__ import annotations

from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response

from orfallback import Chain
from orfallback.wsgi import Gateway

application = DispatcherMiddleware(Response("the host"), {"/llm": Gateway(Chain.from_env())})

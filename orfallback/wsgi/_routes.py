"""Which path is what, and by which methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orfallback.wsgi._errors import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Route(NamedTuple):
    """Something that can be asked for.

    :ivar paths: its paths, below wherever the gateway is mounted.
    :ivar methods: by which it can be asked for; none means any.
    """

    paths: tuple[str, ...]
    methods: tuple[str, ...]


_READING = ("GET", "HEAD")
# Mounted under a prefix that ends in /v1 the rest of the path is without it.
CHAT = Route(("/v1/chat/completions", "/chat/completions"), ("POST",))
MODELS = Route(("/v1/models", "/models"), _READING)
HEALTH = Route(("/health",), _READING)
METRICS = Route(("/metrics",), ())


def find(environ: WSGIEnvironment, *, metrics: bool) -> Route:
    """Return what a request is for; an unknown path is :data:`NOTHING`.

    :param environ: the request.
    :param metrics: whether there are any.
    """
    path: str = environ.get("PATH_INFO", "")
    for route in (CHAT, MODELS, HEALTH):
        if (path.rstrip("/") or "/") in route.paths:
            return route
    if metrics and f"{path}/".startswith(f"{METRICS.paths[0]}/"):
        return METRICS
    return NOTHING


#: A path that there is not; told only to those who may ask.
NOTHING = Route((), ())


def check_method(route: Route, environ: WSGIEnvironment) -> None:
    """Make sure that a route exists, and is asked by one of its methods.

    :raises Problem: 404 or 405.
    """
    if route is NOTHING:
        raise Problem(404, "there is no such path; the gateway has /v1/chat/completions, /v1/models and /health")
    if route.methods and environ["REQUEST_METHOD"] not in route.methods:
        allowed = ", ".join(route.methods)
        raise Problem(405, f"this path takes {allowed}", headers=[("Allow", allowed)])


def below(environ: WSGIEnvironment, route: Route) -> WSGIEnvironment:
    """Return a request as an application mounted at a route sees it."""
    prefix = route.paths[0]
    moved = dict(environ)
    moved["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
    moved["PATH_INFO"] = environ["PATH_INFO"][len(prefix) :]
    return moved

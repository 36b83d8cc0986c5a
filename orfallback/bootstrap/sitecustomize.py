"""Imported by Python itself at its start, because ``orfallback run`` put its folder on the path.

It waits for requests to be imported, and imports nothing until then. Whatever sitecustomize there was is run, too.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would cost every process its import


class _Waiting:
    """Finds requests as everybody else would, and installs the fallback once it is there."""

    _loader: "Any"

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        if name != "requests":
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            self._loader, spec.loader = spec.loader, self  # type: ignore[assignment]  # it has what is asked of one
        return spec

    def create_module(self, spec: "ModuleSpec") -> "Any":
        return self._loader.create_module(spec)

    def exec_module(self, module: "Any") -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        if any(name.startswith("orfallback.") for name in sys.modules):
            # The program imports orfallback by itself, which imports requests, and is not whole yet.
            _install_when_used(module)
        else:
            _install()


def _install() -> None:
    try:
        import orfallback

        orfallback.install()
    except (ImportError, ValueError, LookupError, TypeError) as error:
        sys.stderr.write(f"orfallback: not installed in this process: {error}\n")


def _install_when_used(requests: "Any") -> None:
    """Install it when a session first chooses its adapter."""
    before = requests.Session.get_adapter
    # requests has imported it.
    from threading import RLock

    lock = RLock()
    done: list[bool] = []

    def get_adapter(self: "Any", url: str) -> "Any":
        # Where something else stands by now, maybe our own, the program knows what it wants.
        if requests.Session.get_adapter is not get_adapter:
            return before(self, url)
        with lock:
            if not done:
                done.append(True)
                _install()
        now = requests.Session.get_adapter
        return before(self, url) if now is get_adapter else now(self, url)

    requests.Session.get_adapter = get_adapter


def _hand_over() -> None:
    """Run the sitecustomize that Python would have found without this one."""
    path = [place for place in sys.path if os.path.abspath(place or ".") != _HERE]  # noqa: PTH100 - likewise
    spec = sys.modules["_frozen_importlib_external"].PathFinder.find_spec("sitecustomize", path)
    if spec is None or spec.loader is None:
        return
    module = sys.modules["_frozen_importlib"].module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


sys.meta_path.insert(0, _Waiting())
_hand_over()

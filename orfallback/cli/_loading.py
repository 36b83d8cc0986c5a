"""Loads plugins one by one, so that one that fails is told by its name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint

import pluggy

from orfallback import Chain
from orfallback.cli._console import Narrator
from orfallback.cli._exits import SetupFailed

# Their messages are whole sentences, which say what the plugin lacks.
_PLAIN = (ImportError, ModuleNotFoundError, AttributeError, pluggy.PluginValidationError)


class _Teller(logging.Handler):
    """Tells of plugins that fail while they watch: the library logs it, and nobody reads the log here."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        why = f" ({type(error).__name__}: {error})" if error is not None else ""
        Narrator().warn(f"{record.getMessage()}{why}")


def tell_of_plugins() -> None:
    """Tell from now on of each plugin that fails while it watches."""
    logger = logging.getLogger("orfallback.plugins")
    if not any(isinstance(handler, _Teller) for handler in logger.handlers):
        logger.addHandler(_Teller(logging.WARNING))


@contextmanager
def loading(
    what: str, mend: str = "", *, module: str = "", plain: tuple[type[Exception], ...] = (), correct: str = ""
) -> Iterator[None]:
    """Turn whatever a plugin raises while it is loaded into one sentence.

    :param what: that the plugin cannot be loaded; why is added.
    :param mend: what to do about a plugin that lacks something.
    :param module: the plugin's module, where a traceback would tell more.
    :param plain: errors whose message is told without their type, beside those that imports raise.
    :param correct: what to do about them; ``mend`` by default.
    :raises SetupFailed: instead of anything raised within, save Ctrl-C.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        # A plugin's own code runs within, and may raise anything; a script ends the process.
        if type(error) is LookupError:
            # The library's own: it names the plugin and says why, or what is installed.
            raise SetupFailed(str(error), mend) from error
        if type(error) in (*_PLAIN, *plain):
            mend = correct if correct and type(error) in plain else mend
            why = str(error.args[0]) if error.args else type(error).__name__
            # Of an installed plugin the library tells the name as well.
            raise SetupFailed(why if why.startswith(what) else f"{what}: {why}", mend) from error
        named = all(part.isidentifier() for part in module.split("."))
        seen = f'The traceback is shown by: python -c "import {module}"' if named else mend
        raise SetupFailed(f"{what}: {type(error).__name__}: {error}", seen) from error


def load_installed(chain: Chain, name: str, point: EntryPoint | None) -> bool:
    """Load an installed plugin of the entry point group ``orfallback``.

    :param chain: the chain that gets it.
    :param name: its name in the group.
    :param point: where it is; None for one that is not installed.
    :returns: whether it was loaded; False where the chain has a plugin of this name.
    :raises SetupFailed: if it is not installed, cannot be imported, or is no plugin.
    """
    if point is None:
        what, module = f"plugin {name}", ""
        mend = "ORFALLBACK_PLUGINS takes the names of installed plugins; modules are for --plugin"
    else:
        package = point.dist.name if point.dist else point.module
        what, module = f"plugin {name} of {package} cannot be loaded", point.module
        mend = f"Install what {package} lacks, or do without {name}"
    correct = f"Correct that, or do without {name}"
    with loading(what, mend, module=module, plain=(TypeError, ValueError), correct=correct):
        return bool(chain.load_entry_points(name))

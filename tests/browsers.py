"""A browser without a window, for pages that are looked at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """Start a browser of its own, that remembers nothing and writes down what it complains of, and what it asks for.

    :param folder: where it may write.
    """
    driver, browser = shutil.which("chromedriver"), shutil.which("chromium")
    assert driver is not None, "no browser: install Debian's packages chromium and chromium-driver"
    assert browser is not None
    options = Options()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options, Service(executable_path=driver))
    try:
        yield running
    finally:
        running.quit()

"""The dashboard and the alerts: a real Prometheus scrapes a gateway in a storm, and every panel has figures."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from test_cli_serve import serving

from orfallback.plugins._series import _KINDS
from orfallback.testing import Gate, Received, Simulator, Step, answer, cut, status

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
DASHBOARD = json.loads((EXAMPLES / "grafana" / "orfallback.json").read_text(encoding="utf-8"))
RULES = EXAMPLES / "prometheus" / "orfallback.rules.yml"
CONFIG = EXAMPLES / "prometheus" / "prometheus.yml"
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
BUSY, LIMITED, GOOD, HELD = "a/busy", "a/limited", "b/good", "b/held"
# Of a request, and of all of the storm (s).
PATIENCE, STORM = 20.0, 25.0
# What Grafana makes of its variables: all models and jobs, four scrapes and more, and the time shown.
VARIABLES = {"$job": ".*", "$model": ".*", "$__rate_interval": "5s", "$__range": "60s"}


class Server:
    """A Prometheus that runs.

    :param url: where.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **params: Any) -> Any:
        """Ask its HTTP API."""
        reply = requests.get(f"{self.url}/api/v1/{path}", params=params, timeout=PATIENCE)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    def values(self, target: dict[str, Any], since: float) -> list[float]:
        """Return what a panel's query brings, as Grafana asks it: at this instant, or over the time shown."""
        query = target["expr"]
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        assert "$" not in query
        now = time.time()
        if target["instant"]:
            found = [series["value"] for series in self.get("query", query=query, time=now)["result"]]
        else:
            series = self.get("query_range", query=query, start=since, end=now, step="1s")["result"]
            found = [value for each in series for value in each["values"]]
        return [float(value) for _, value in found]


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[Server]:
    """Run one that scrapes a gateway five times a second, with the example's own configuration."""
    config = CONFIG.read_text(encoding="utf-8").replace("15s", "200ms").replace("127.0.0.1:8000", target)
    (folder / CONFIG.name).write_text(config, encoding="utf-8")
    shutil.copy(RULES, folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", f"--config.file={folder / CONFIG.name}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address={address}", "--log.level=warn"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        try:
            server = Server(f"http://{address}")
            _until_ready(server, process)
            yield server
        except BaseException:
            print((folder / "log").read_text())
            raise
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
                process.wait()


def _until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None
        assert time.monotonic() < end
        try:
            if requests.get(f"{server.url}/-/ready", timeout=PATIENCE).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.05)


@pytest.fixture
def storm(sim: Simulator) -> Iterator[Gate]:
    """Models of which one is busy every other time, one is limited for long, one breaks off now and then, one halts."""
    gate = Gate()
    turns = {BUSY: itertools.cycle([status(502), answer()]), GOOD: itertools.cycle([answer()] * 5 + [cut("content")])}

    def take_turns(received: Received) -> Iterator[Step]:
        assert received.model is not None
        return next(turns[received.model])(received)

    for model in turns:
        sim.script(model, take_turns)
    sim.script(LIMITED, status(429, headers={"Retry-After": "300"}))
    sim.script(HELD, answer("one two", gate=gate, role_first=False))
    yield gate
    gate.open(100)


def test_every_panel_has_data(at: Simulator, storm: Gate, tmp_path: Path) -> None:
    """Each query of the dashboard returns figures, alerts are evaluated, and what was scraped is what was asked."""
    options = ("-m", BUSY, "-m", LIMITED, "-m", GOOD, "--delay", "0.01", "--metrics")
    began = time.time()
    with serving(*options, ORFALLBACK_COOLDOWN="0.05") as served, ThreadPoolExecutor(1) as held:
        gateway = served.url.removeprefix("http://").removesuffix("/v1")
        with prometheus(gateway, tmp_path) as server:
            holding = held.submit(lambda: served.ask(model=HELD, stream=True).text)
            try:
                _storm(served, server, began)
            finally:
                storm.open(100)
            assert "[DONE]" in holding.result(PATIENCE)
            _agrees(server, at)
            rules = server.get("rules")["groups"][0]["rules"]
            assert {rule["name"]: (rule["health"], rule.get("lastError")) for rule in rules} == dict.fromkeys(
                re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8")), ("ok", None)
            )
    print(f"{time.time() - began:.1f} s")


def _storm(served: Any, server: Server, began: float) -> None:
    """Ask until each query has figures."""
    missing = {(panel["id"], target["expr"]): target for panel in PANELS for target in panel["targets"]}
    assert len(missing) == sum(len(panel["targets"]) for panel in PANELS) > 25
    while missing:
        assert time.time() - began < STORM, missing
        for number in range(8):
            with served.ask(stream=number % 2 == 0, model="x/unheard-of" if number == 7 else "auto") as reply:
                if number == 4:
                    # Left after its first words.
                    next(reply.iter_lines(chunk_size=1))
                else:
                    assert reply.content
        for key, target in list(missing.items()):
            if any(map(math.isfinite, server.values(target, began))):
                del missing[key]


def _agrees(server: Server, sim: Simulator) -> None:
    """Wait until the last scrape says what the simulator saw."""
    asked = Counter(model if model in (BUSY, LIMITED, GOOD) else "other" for model in sim.models_asked)
    end = time.monotonic() + PATIENCE
    while True:
        series = server.get("query", query="sum by (model) (orfallback_attempts_total)")["result"]
        if {each["metric"]["model"]: int(each["value"][1]) for each in series} == asked:
            return
        assert time.monotonic() < end, (series, asked)
        time.sleep(0.1)


# -- the dashboard --


def test_a_dashboard_that_grafana_takes() -> None:
    """Ids are told apart, panels do not lie on each other, and every query asks the Prometheus that is chosen."""
    assert DASHBOARD["schemaVersion"] >= 38
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    cells: Counter[tuple[int, int]] = Counter()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        columns, lines = ((place[start], place[start] + place[size]) for start, size in ("xw", "yh"))
        cells.update(itertools.product(range(*columns), range(*lines)))
    assert set(cells.values()) == {1}
    assert max(x for x, _ in cells) == 23
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert all(each["datasource"] == chosen for panel in PANELS for each in (panel, *panel["targets"]))
    assert all(panel["title"] and panel["description"] for panel in PANELS)
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "job", "model"]
    # What an import would keep of somebody's own Grafana.
    assert {"id", "iteration", "__inputs", "gnetId"} & set(DASHBOARD) == set()


def test_every_metric_is_on_the_dashboard() -> None:
    """The dashboard leaves no metric out, and names none that there is not."""
    queries = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    named = set(re.findall(r"orfallback_\w+", queries))
    assert {name.removesuffix("_bucket") for name in named} == {f"orfallback_{name}" for name in _KINDS}


# -- alerts --


@pytest.mark.parametrize("command", [("config", CONFIG), ("rules", RULES)], ids=["config", "rules"])
def test_what_promtool_says(command: tuple[str, Path]) -> None:
    """Configuration and rules are well-formed, to Prometheus itself."""
    done = subprocess.run(["promtool", "check", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def calls(ending: str, per_minute: int) -> dict[str, str]:
    """Return a series of calls, for an hour."""
    return {"series": f'orfallback_calls_total{{job="x", ending="{ending}"}}', "values": f"0+{per_minute}x60"}


#: What fires each alert after an hour, and the least that does not.
ALERTS: dict[str, tuple[list[dict[str, str]], list[dict[str, str]]]] = {
    "OrfallbackCallsFail": ([calls("answered", 9), calls("failed", 1)], [calls("answered", 99), calls("broken", 1)]),
    "OrfallbackFallsBackOften": (
        [calls("answered", 10), {"series": 'orfallback_fallbacks_total{job="x"}', "values": "0+6x60"}],
        [calls("answered", 10), {"series": 'orfallback_fallbacks_total{job="x"}', "values": "0+4x60"}],
    ),
    "OrfallbackKeyOrCredit": (
        [{"series": 'orfallback_attempts_total{job="x", outcome="payment"}', "values": "0+1x60"}],
        [{"series": 'orfallback_attempts_total{job="x", outcome="busy"}', "values": "0+1x60"}],
    ),
    "OrfallbackRestsLong": (
        [{"series": 'orfallback_rests_until_timestamp_seconds{job="x", model="m"}', "values": "4300x60"}],
        [{"series": 'orfallback_rests_until_timestamp_seconds{job="x", model="m"}', "values": "4000x60"}],
    ),
    "OrfallbackSlowToBegin": (
        [
            {"series": 'orfallback_first_token_seconds_bucket{job="x", le="10.0"}', "values": "0+9x60"},
            {"series": 'orfallback_first_token_seconds_bucket{job="x", le="15.0"}', "values": "0+10x60"},
            {"series": 'orfallback_first_token_seconds_bucket{job="x", le="+Inf"}', "values": "0+10x60"},
        ],
        [
            {"series": 'orfallback_first_token_seconds_bucket{job="x", le="10.0"}', "values": "0+99x60"},
            {"series": 'orfallback_first_token_seconds_bucket{job="x", le="+Inf"}', "values": "0+100x60"},
        ],
    ),
    "OrfallbackCost": (
        [{"series": 'orfallback_cost_usd_total{job="x"}', "values": "0+0.2x60"}],
        [{"series": 'orfallback_cost_usd_total{job="x"}', "values": "0+0.1x60"}],
    ),
    "OrfallbackNotThere": (
        [{"series": 'up{job="orfallback", instance="x:1"}', "values": "0x60"}],
        [{"series": 'up{job="orfallback", instance="x:1"}', "values": "1x60"}],
    ),
}  # fmt: skip


def test_what_fires_an_alert(tmp_path: Path) -> None:
    """Each alert fires where it should, and not where things are bearable, by Prometheus' own tests of rules."""
    assert list(ALERTS) == re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8"))
    tests = []
    for name, (bad, bearable) in ALERTS.items():
        for fires, series in ((True, bad), (False, bearable)):
            query = {"expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}})', "eval_time": "1h"}
            query |= {"exp_samples": [{"labels": "{}", "value": 1}] if fires else []}  # type: ignore[dict-item]  # any JSON
            tests.append({"interval": "1m", "input_series": series, "promql_expr_test": [query]})
    # YAML takes JSON.
    path = tmp_path / "tests.yml"
    path.write_text(json.dumps({"rule_files": [os.fspath(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", os.fspath(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

"""How the page looks: light and dark, wide and narrow. Colours are for text at least 4.5 : 1, for marks 3 : 1."""

from __future__ import annotations

#: What tells kinds apart, beside their names: a colour, and a texture for those that are no answer.
_LIGHT = """
  --paper: #f6f6f3; --card: #ffffff; --ink: #1c2127; --soft: #555e69; --line: #e2e2dc; --grid: #ecece7;
  --blue: #2f74b5; --amber: #b07a10; --teal: #0f857a; --grey: #7b858f; --magenta: #ad3f96; --red: #c4392f;
  --violet: #7259b3; --brown: #8a5c33; --slate: #46525f; --olive: #6c7a1f; --shade: rgb(20 30 40 / 7%);
  --cut: rgb(255 255 255 / 55%);
"""
_DARK = """
  --paper: #0f1215; --card: #171b20; --ink: #e9ebee; --soft: #a7b0ba; --line: #2b3138; --grid: #23282e;
  --blue: #5ba5e3; --amber: #e0ab48; --teal: #45b8ab; --grey: #7f8994; --magenta: #db7cc6; --red: #ee7468;
  --violet: #a893e6; --brown: #c0946a; --slate: #a3b1c0; --olive: #b4c25a; --shade: rgb(0 0 0 / 40%);
  --cut: rgb(15 18 21 / 60%);
"""

# A kind, its colour, and its texture.
_KINDS = {
    "answered": ("blue", ""), "fallback": ("amber", ""), "degraded": ("teal", "dots"), "left": ("grey", ""),
    "broken": ("magenta", "lines"), "failed": ("red", "hatch"), "aborted": ("slate", "hatch"),
    "other": ("grey", "dots"), "cancelled": ("grey", ""),
    "busy": ("red", ""), "rate-limited": ("amber", ""), "timeout": ("violet", ""), "connection": ("teal", ""),
    "server-error": ("brown", ""), "truncated": ("magenta", ""), "malformed": ("red", "hatch"),
    "empty": ("slate", "hatch"), "not-found": ("violet", "hatch"), "context-length": ("teal", "hatch"),
    "unsupported": ("olive", "hatch"), "moderated": ("magenta", "hatch"), "unauthorized": ("red", "lines"),
    "payment": ("amber", "lines"), "invalid-request": ("brown", "lines"), "misconfigured": ("slate", "lines"),
    "m0": ("blue", ""), "m1": ("amber", ""), "m2": ("teal", ""), "m3": ("magenta", ""), "m4": ("violet", ""),
    "m5": ("grey", "dots"),
}  # fmt: skip
#: The textures that marks are filled with.
TEXTURES = ("hatch", "lines", "dots")


def kind(name: str) -> str:
    """Return the class of an outcome, an ending or a reason."""
    known = name.replace("_", "-")
    return known if known in _KINDS else "other"


def textured(name: str) -> str | None:
    """Return the texture of a class, or None."""
    return _KINDS[name][1] or None


_RULES = """
* { box-sizing: border-box; }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink); font-variant-numeric: tabular-nums;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main, header, footer { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 44px; }
h1 { font-size: 32px; line-height: 1.2; letter-spacing: -.015em; margin: 6px 0 8px; font-weight: 650;
  text-wrap: balance; }
h2 { font-size: 19px; line-height: 1.35; letter-spacing: -.005em; margin: 0 0 4px; font-weight: 620;
  text-wrap: balance; }
h3 { font-size: 13px; margin: 20px 0 6px; font-weight: 600; color: var(--soft); }
p { margin: 0; }
.mark { font-weight: 650; font-size: 13px; letter-spacing: .02em; color: var(--soft); }
.mark i { display: inline-block; width: 22px; height: 8px; margin-right: 8px; border-radius: 2px; background:
  linear-gradient(90deg, var(--red) 0 26%, transparent 26% 36%, var(--amber) 36% 56%, transparent 56% 66%,
  var(--blue) 66%); }
.soft, .lede, footer, figcaption { color: var(--soft); }
.lede { margin-bottom: 16px; max-width: 88ch; }
bdi { overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin: 28px 0 12px; padding: 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px 13px; }
.tile dt { font-size: 13px; color: var(--soft); }
.tile dd { margin: 0; }
.tile .value { font-size: 26px; line-height: 1.3; font-weight: 620; letter-spacing: -.01em; }
.tile .more { font-size: 13px; color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 24px 26px;
  margin: 12px 0; }
figure { margin: 0; }
svg { display: block; width: 100%; overflow: visible; }
svg text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.textures { position: absolute; width: 0; height: 0; }
.texture path, .texture circle { stroke: var(--cut); fill: none; stroke-width: 1.6; }
.texture circle { fill: var(--cut); stroke: none; }
.grid { stroke: var(--grid); stroke-width: 1; shape-rendering: crispEdges; }
.chart { display: grid; grid-template-columns: 52px minmax(0, 1fr); gap: 10px; }
.chart.money { grid-template-columns: 68px minmax(0, 1fr); }
.base { stroke: var(--soft); stroke-width: 1; shape-rendering: crispEdges; }
.bars rect { stroke: var(--card); stroke-width: 1; }
.hit { fill: transparent; stroke: none !important; }
.slot:hover .hit { fill: var(--shade); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 14px; padding: 0; list-style: none;
  font-size: 13px; }
.legend li { display: flex; align-items: center; gap: 7px; }
.legend svg { width: 14px; height: 14px; flex: none; }
.lane { display: grid; grid-template-columns: 116px minmax(0, 1fr) 178px; gap: 0 16px; align-items: center;
  font-size: 13px; }
.lane.wide { grid-template-columns: 180px minmax(0, 1fr) 150px; }
.lane .figures { text-align: right; white-space: nowrap; }
.lane.axis .name, .lane.axis .figures { color: var(--soft); font-size: 12px; }
.group { padding: 9px 0 7px; border-top: 1px solid var(--grid); }
.group > .name { font-weight: 600; font-size: 14px; }
.attempts .lane { grid-template-columns: minmax(0, 350px) minmax(0, 1fr) 66px; min-height: 24px; }
.attempts .lane .name { display: flex; flex-wrap: wrap; gap: 0 7px; align-items: center; line-height: 1.35; }
.attempts .lane .name svg { width: 14px; height: 14px; flex: none; }
.call { padding: 13px 0 9px; border-top: 1px solid var(--grid); }
.call > p { display: flex; flex-wrap: wrap; gap: 0 14px; margin-bottom: 4px; }
.call .said { color: var(--soft); overflow-wrap: anywhere; }
.id { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 12px; color: var(--soft); }
.waited { stroke: var(--soft); stroke-width: 2; stroke-dasharray: 2 3; }
.dot { fill: var(--blue); stroke: var(--card); stroke-width: 1.5; }
.first .dot { fill: var(--card); stroke: var(--blue); stroke-width: 2; }
.range { stroke: var(--blue); stroke-width: 3; stroke-linecap: round; opacity: .45; }
.first .range { stroke-width: 2; }
.p95, .p99 { stroke: var(--blue); stroke-width: 2.5; }
.p99 { stroke-width: 1.5; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { text-align: right; white-space: nowrap; padding: 7px 0 7px 16px; border-bottom: 1px solid var(--grid);
  vertical-align: baseline; }
th { font-weight: 500; color: var(--soft); font-size: 12.5px; vertical-align: bottom; }
th:first-child, .words { text-align: left; white-space: normal; }
th:first-child { padding-left: 0; }
thead th { white-space: normal; }
tbody th { color: var(--ink); font-weight: 600; font-size: 13.5px; text-align: left; vertical-align: baseline; }
th button { all: unset; cursor: pointer; padding: 4px 0; }
th button:hover { color: var(--ink); text-decoration: underline; }
th button:focus-visible, summary:focus-visible { outline: 2px solid var(--blue); outline-offset: 3px;
  border-radius: 3px; }
th[aria-sort=ascending] button::after { content: " ↑"; }
th[aria-sort=descending] button::after { content: " ↓"; }
.scroll { overflow-x: auto; }
details { margin-top: 14px; font-size: 13px; }
summary { cursor: pointer; color: var(--soft); width: fit-content; padding: 4px 0; }
.tip {
  position: fixed; z-index: 9; pointer-events: none; white-space: pre-line; background: var(--ink); color: var(--paper);
  font-size: 12.5px; line-height: 1.45; padding: 8px 11px; border-radius: 7px; max-width: 300px;
}
.tip[hidden] { display: none; }
footer { padding-top: 18px; padding-bottom: 56px; font-size: 13px; }
footer p { margin-bottom: 8px; max-width: 92ch; }
@media (max-width: 760px) {
  main, header, footer { padding-left: 14px; padding-right: 14px; }
  header { padding-top: 26px; }
  h1 { font-size: 25px; }
  h2 { font-size: 17.5px; }
  .tiles { grid-template-columns: repeat(2, 1fr); gap: 8px; margin-top: 20px; }
  .tile { padding: 11px 12px; }
  .tile .value { font-size: 22px; }
  section { padding: 18px 14px; border-radius: 10px; }
  .minor { display: none; }
  .lane, .lane.wide, .attempts .lane { grid-template-columns: minmax(0, 1fr) auto; gap: 2px 10px; padding: 3px 0; }
  .lane > .plot { grid-column: 1 / -1; grid-row: 2; }
  .lane.axis .name, .lane.axis .figures { display: none; }
  .chart, .chart.money { grid-template-columns: 40px minmax(0, 1fr); gap: 6px; }
  .chart.money { grid-template-columns: 58px minmax(0, 1fr); }
  .stacking thead { display: none; }
  .stacking, .stacking tbody { display: block; }
  .stacking tr { display: grid; grid-template-columns: 1fr 1fr; gap: 1px 20px; padding: 10px 0;
    border-top: 1px solid var(--grid); }
  .stacking th[scope=row], .stacking .words { grid-column: 1 / -1; }
  .stacking.wide tr { grid-template-columns: 1fr; }
  .bars rect { stroke-width: .4; }
  .stacking td, .stacking th { display: flex; justify-content: space-between; gap: 8px;
    padding: 2px 0 !important; border: 0; }
  .stacking td::before { content: attr(data-label); color: var(--soft); }
}
@media print {
  body { background: #fff; }
  section, .tile { break-inside: avoid; }
}
"""


def _filled() -> str:
    lines = []
    for name, (colour, texture) in _KINDS.items():
        lines.append(f".{name} {{ fill: var(--{colour}); }}")
        if texture:
            lines.append(f".{name}.over {{ fill: url(#{texture}); stroke: none; pointer-events: none; }}")
    return "\n".join(lines)


#: All of it.
STYLE = f"""
:root {{{_LIGHT}}}
@media (prefers-color-scheme: dark) {{ :root {{{_DARK}}} }}
{_RULES}
{_filled()}
"""

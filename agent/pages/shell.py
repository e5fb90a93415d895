"""The page around the content: one file, no script, no network, light and dark, screen and paper."""

from __future__ import annotations

import json
from typing import Any

from agent.pages.markup import Markup, join, tag

CSS = """
:root { color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f26; --soft: #5b6370; --rule: #dfe3e8; --tint: #f5f7f9; --accent: #0b62c4;
  --s-lem: #0b62c4; --s-stop: #15834f; --s-dump: #c25e00; --s-twap: #737a86; --s-curve: #8a4bbf;
  --s-ac: #bf2f5b; --s-impact: #007a85; --s-buy: #0b62c4; --s-sell: #c25e00; --s-bound: #1b1f26; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171c; --ink: #e8ebef; --soft: #a2abb8; --rule: #343b46; --tint: #1c2128; --accent: #6db3ff;
  --s-lem: #6db3ff; --s-stop: #5fd39c; --s-dump: #ffae57; --s-twap: #9aa3b0; --s-curve: #c79bf2;
  --s-ac: #ff8fae; --s-impact: #55ccd6; --s-buy: #6db3ff; --s-sell: #ffae57; --s-bound: #e8ebef; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .75rem; letter-spacing: -.015em; text-wrap: balance; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 3rem 0 .5rem; padding-top: 1rem;
  border-top: 1px solid var(--rule); }
h2.part { font-size: 1.55rem; margin-top: 4.5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { max-width: 46rem; margin: .5rem 0; }
.lead { font-size: 1.1rem; }
.soft, .caption, figcaption { color: var(--soft); font-size: .88rem; }
code { font: .86em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { background: var(--tint); border: 1px solid var(--rule); border-radius: 6px; padding: .6rem .8rem;
  margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: .8rem;
  margin: 1.5rem 0; }
.tile { background: var(--tint); border: 1px solid var(--rule); border-radius: 8px; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.2rem; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
.tile small { font-size: .8em; font-weight: 500; }
.tile > span { display: block; color: var(--soft); font-size: .86rem; line-height: 1.4; }
dl.facts { display: grid; grid-template-columns: minmax(6rem, 9rem) 1fr; gap: .3rem 1rem; margin: 1rem 0; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
dl.terms dt { font-weight: 600; margin-top: .6rem; } dl.terms dd { margin: 0; max-width: 46rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr));
  gap: 1rem 1.2rem; margin: .75rem 0; }
.figures.three { grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); }
.figures.wide { grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); }
.figures.mid { grid-template-columns: minmax(0, 44rem); }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figure svg { display: block; width: 100%; height: auto; }
svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif !important; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .6rem 0; padding: 0; list-style: none;
  font-size: .9rem; }
.legend svg { width: 28px; height: 12px; vertical-align: middle; margin-right: .4rem; }
.scroll { overflow-x: auto; margin: 0 0 1rem; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
.caption { margin: .9rem 0 .1rem; max-width: none; }
th, td { padding: .28rem .5rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 600; vertical-align: bottom; white-space: normal; max-width: 7rem; }
td.ci, .ci { color: var(--soft); }
th.word, td.word { text-align: left; }
th.first, td.first { position: sticky; left: 0; background: var(--paper); text-align: left; }
tr.group td, tr.group th { border-top: 2px solid var(--rule); }
tr.own td { font-weight: 600; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--accent); padding: .2rem 0; }
nav { font-size: .9rem; margin: 1rem 0; } nav a { margin-right: 1rem; white-space: nowrap; }
a { color: var(--accent); }
@media (max-width: 40rem) { main { padding: 1.25rem 1rem 3rem; } h1 { font-size: 1.5rem; }
  dl.facts { grid-template-columns: 1fr; gap: 0; } dl.facts dd { margin-bottom: .5rem; } }
@media print { :root { color-scheme: light;
  --paper: #fff; --ink: #000; --soft: #444; --rule: #ccc; --tint: #fff; --s-bound: #000;
  --s-lem: #0b62c4; --s-stop: #15834f; --s-dump: #c25e00; --s-twap: #737a86; --s-curve: #8a4bbf;
  --s-ac: #bf2f5b; --s-impact: #007a85; --s-buy: #0b62c4; --s-sell: #c25e00; }
  @page { margin: 14mm; } body { font-size: 10pt; }
  main { max-width: none; padding: 0; } nav { display: none; }
  .scroll { overflow: visible; } table { font-size: 6.8pt; } th, td { padding: 1.5pt 3pt; }
  th.first, td.first { position: static; } tr, figure, .tile { break-inside: avoid; }
  h2, h3, .caption { break-after: avoid; }
  .figures, .figures.three, .figures.wide { grid-template-columns: 1fr 1fr; } }
"""


def page(title: str, body: str, document: dict[str, Any]) -> str:
    """The whole file as text. ``document``, which everything on it was made from, travels inside it."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(CSS)),
    )
    data = json.dumps(document, separators=(",", ":"))
    for mark in "<>&":  # as the JSON standard lets it be written, so that no markup can end the script
        data = data.replace(mark, f"\\u{ord(mark):04x}")
    kept = tag("script", Markup(data), type="application/json", id="document")
    whole = tag("html", head, tag("body", tag("main", body), kept), lang="en")
    return join(Markup("<!DOCTYPE html>\n"), whole, Markup("\n"))

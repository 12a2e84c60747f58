"""The look of the page and the few lines that start its plots. Plain constants; they hold nothing of a run.

Invariant: the script is the same for every page, so that the page can name it by its hash and run no other.
"""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--paper:#ffffff;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--card:#f6f8fa;--good:#116329;
--info:#0550ae;--bad:#a40e26;--warn:#7d4e00}
@media screen and (prefers-color-scheme:dark){:root{--paper:#15181d;--ink:#e6e9ee;--soft:#a2abb6;--line:#3a414b;--card:#1e232a;
--good:#5cd17f;--info:#7cb7ff;--bad:#ff8f8f;--warn:#e8b64c}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:20px;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.35em;margin:0 0 2px;overflow-wrap:anywhere}h2{font-size:1.15em;margin:1.8em 0 .5em}h3{font-size:1em;margin:0}
p{margin:.4em 0}.soft,figcaption,th{color:var(--soft)}figcaption{font-size:.88em}
.verdict{border:1px solid var(--line);border-left:8px solid var(--soft);border-radius:6px;background:var(--card);padding:10px 16px;
margin:14px 0}
.verdict.good{border-left-color:var(--good)}.verdict.bad{border-left-color:var(--bad)}.verdict.warn{border-left-color:var(--warn)}
.word{font-weight:700}
.good .word,td.good{color:var(--good)}.bad .word,td.bad{color:var(--bad)}.warn .word,td.warn{color:var(--warn)}
td.info{color:var(--info)}
.answer{font-size:1.1em;font-weight:600}
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:.5em 0;font-variant-numeric:tabular-nums}
td,th{padding:3px 12px 3px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}th{font-weight:500}
td.n,th.n{text-align:right;white-space:nowrap}td.long{overflow-wrap:anywhere;min-width:16em}
figure{margin:0 0 22px;padding:12px 0 0;border-top:1px solid var(--line);break-inside:avoid}
.head{display:flex;justify-content:space-between;align-items:baseline}.plot{width:100%;min-height:380px}
button{font:inherit;font-size:.85em;color:var(--ink);background:var(--card);border:1px solid var(--line);border-radius:5px;
cursor:pointer}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:10px;overflow:auto;white-space:pre-wrap;
overflow-wrap:anywhere}
summary{cursor:pointer}
.plot .xtick text,.plot .x2tick text,.plot .ytick text,.plot .y2tick text,.plot .infolayer text{fill:var(--ink)!important}
@media print{body{max-width:none;padding:0}.modebar,button{display:none!important}.plot svg{max-width:100%}h2{break-after:avoid}}
"""
"""Text of the axes and legends takes the page's colour, so that the plots need no second drawing for a dark page."""

BOOT: Final = """
"use strict";
for (const place of document.querySelectorAll(".plot")) {
  const figure = JSON.parse(document.getElementById(place.id + "-data").textContent);
  Plotly.newPlot(place, figure.data, figure.layout, figure.config);
  if (figure.layout.yaxis.type === "category") continue;
  const button = document.getElementById(place.id + "-scale");
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = place.layout.yaxis.type === "log" ? "linear" : "log";
    Plotly.relayout(place, {"yaxis.type": next, "yaxis.autorange": true});
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
"""

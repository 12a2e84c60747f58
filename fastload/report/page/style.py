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
.scroll{overflow-x:auto}table{border-collapse:separate;border-spacing:0;margin:.5em 0;font-variant-numeric:tabular-nums}
td,th{padding:3px 12px 3px 0;text-align:left;border-bottom:1px solid var(--line)}th{font-weight:500}
th,td{vertical-align:top}
td.n,th.n{text-align:right;white-space:nowrap}td.few{color:var(--soft);font-style:italic}
td.long{overflow-wrap:anywhere;min-width:16em}
figure{margin:0 0 22px;padding:12px 0 0;border-top:1px solid var(--line);break-inside:avoid}
.head{display:flex;justify-content:space-between;align-items:baseline;gap:12px}.plot{width:100%}
.plot .modebar{top:-30px!important;right:96px!important}.plain .plot .modebar{right:0!important}
button{white-space:nowrap;font:inherit;font-size:.85em;
color:var(--ink);background:var(--card);border:1px solid var(--line);border-radius:5px;
cursor:pointer}
button[aria-pressed=true]{background:var(--ink);color:var(--paper)}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:10px;overflow:auto;white-space:pre-wrap;
overflow-wrap:anywhere}
summary{cursor:pointer}details,h3{margin-top:.9em}figure h3{margin:0}
@media screen and (max-width:700px){body{padding:14px}.verdict{padding:8px 12px}
.scroll tr>:first-child{position:sticky;left:0;background:var(--paper)}.verdict .scroll tr>:first-child{background:var(--card)}
.plot .modebar{display:none!important}}
.plot .xtick text,.plot .x2tick text,.plot .ytick text,.plot .y2tick text,.plot .infolayer text{fill:var(--ink)!important}
@media print{body{max-width:none;padding:0;font-size:11px}td,th{padding-right:8px}.scroll{overflow:visible}
.modebar,button{display:none!important}.plot svg{max-width:100%}h2{break-after:avoid}}
"""
"""Text of the axes and legends takes the page's colour, so that the plots need no second drawing for a dark page."""

BOOT: Final = """
"use strict";
const places = [...document.querySelectorAll(".plot")];
const left = new Set(places);
const narrow = 700; // px; below it a legend takes several lines

function draw(place) {
  if (!left.delete(place)) return;
  const figure = JSON.parse(document.getElementById(place.id + "-data").textContent);
  const asked = structuredClone(figure.layout);
  if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false; // a finger on a plot scrolls the page
  if (place.clientWidth < narrow) figure.layout.margin = { ...figure.layout.margin, l: 40, r: 8 };
  const height = parseFloat(place.style.height);
  Plotly.newPlot(place, figure.data, figure.layout, figure.config).then(() => {
    makeRoom(place, height);
    place.on("plotly_afterplot", () => makeRoom(place, height)); // the window became narrower, say
  });
  const button = document.getElementById(place.id + "-scale");
  if (!button) return;
  const axes = Object.keys(asked).filter((name) => name.startsWith("yaxis"));
  const tell = () => button.setAttribute("aria-pressed", place.layout.yaxis.type === "log");
  button.hidden = false;
  tell();
  button.addEventListener("click", () => {
    const type = place.layout.yaxis.type === "log" ? "linear" : "log";
    const change = {};
    for (const name of axes) {
      const same = (asked[name].type || "linear") === type;
      change[name + ".type"] = type;
      change[name + ".autorange"] = true;
      change[name + ".dtick"] = (same && asked[name].dtick) || null; // a tick at every decade is one at every request
      change[name + ".nticks"] = type === "log" ? 5 : 0;
    }
    Plotly.relayout(place, change).then(tell);
  });
}

// A legend of many lines makes the figure higher, not the plot flatter.
function makeRoom(place, height) {
  const legend = place.querySelector(".legend");
  const more = legend ? Math.max(0, Math.round(legend.getBoundingClientRect().height) - 30) : 0;
  if (Math.abs(parseFloat(place.style.height) - height - more) < 4) return;
  place.style.height = height + more + "px";
  Plotly.Plots.resize(place);
}

// One after the other, so that the page can be read and scrolled meanwhile.
function drawNext() {
  const [next] = left;
  if (!next) return;
  draw(next);
  setTimeout(drawNext);
}
drawNext();

const paper = 680; // px, what a sheet of A4 or Letter has
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
  places.forEach(draw);
  for (const place of places) Plotly.relayout(place, { width: paper });
});
addEventListener("afterprint", () => places.forEach((place) => Plotly.relayout(place, { width: null, autosize: true })));
"""

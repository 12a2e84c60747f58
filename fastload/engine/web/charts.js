// The course of the run, drawn by plotly: rows, one a second, from the history and then from frames. Knows no DOM but its plots.
"use strict";

const COLORS = ["#2f7ed8", "#d1622b", "#23966a", "#b5508f", "#3156ff", "#1c9fca", "#ce143f"]; // the report's
const MOST_ROWS = 4000; // more than a screen has columns; beyond it every other row goes
const FIELDS = ["users", "in_flight", "requests_per_s", "tokens_per_s", "ttft_p50_ms", "ttft_p99_ms", "itl_p50_ms", "itl_p99_ms", "failed"];
const UPPER = { dash: "dot" };
const BENEATH = { color: "#808080", width: 5 }; // in a closed loop both lines of the load are mostly the same
const FAILED = { color: COLORS[6] };
const PLOTS = {
  "plot-ttft": [["ttft_p50_ms", "p50"], ["ttft_p99_ms", "p99", UPPER]],
  "plot-itl": [["itl_p50_ms", "p50"], ["itl_p99_ms", "p99", UPPER]],
  "plot-tokens": [["tokens_per_s", "tokens/s"]],
  "plot-requests": [["requests_per_s", "completed"], ["failed_per_s", "failed", FAILED]],
  "plot-load": [["users", "users", BENEATH], ["in_flight", "in flight", { color: COLORS[0] }]],
};
const MOST_LETTERS = 28; // of a name in a legend, which is no wider than its chart

let columns = empty();
let servers = {};
let revision = 0; // plotly looks for new data in an array it has seen only when told so

function empty() {
  return Object.fromEntries(["t_s", ...FIELDS].map((name) => [name, []]));
}

/** Begin with what the API process has seen since the run began. */
export function begin(history) {
  columns = Object.fromEntries(["t_s", ...FIELDS].map((name) => [name, [...history[name]]]));
  servers = Object.fromEntries(Object.entries(history.servers).map(([name, values]) => [name, [...values]]));
}

/** Take a frame; the first of each second is a row. Returns whether there is anything new to draw. */
export function add(frame) {
  const last = columns.t_s[columns.t_s.length - 1];
  if (last !== undefined && Math.floor(last) >= Math.floor(frame.elapsed_s)) return false;
  columns.t_s.push(frame.elapsed_s);
  for (const name of FIELDS) columns[name].push(frame[name]);
  for (const server of frame.endpoints) {
    servers[server.name] ??= Array(columns.t_s.length - 1).fill(null);
    servers[server.name].push(server.tokens_per_s);
  }
  if (columns.t_s.length > MOST_ROWS) thin();
  return true;
}

function thin() {
  const half = (values) => values.filter((_, index) => index % 2 === 0);
  for (const name of Object.keys(columns)) columns[name] = half(columns[name]);
  for (const name of Object.keys(servers)) servers[name] = half(servers[name]);
}

export function draw() {
  if (document.hidden) return;
  revision += 1;
  const failedPerS = columns.failed.map((failed, at) =>
    at === 0 ? null : (failed - columns.failed[at - 1]) / (columns.t_s[at] - columns.t_s[at - 1]));
  const values = { ...columns, failed_per_s: failedPerS };
  for (const [id, lines] of Object.entries(PLOTS)) show(id, lines.map(([name, label, look]) => [label, values[name], look]));
  if (Object.keys(servers).length) show("plot-servers", Object.entries(servers).map(([name, tokens]) => [shorter(name), tokens]));
}

/** A long name without its middle: names often differ at their ends only. */
export function shorter(name) {
  if (name.length <= MOST_LETTERS) return name;
  return `${name.slice(0, MOST_LETTERS / 2)}…${name.slice(1 - MOST_LETTERS / 2)}`;
}

// Names of servers are shown by plotly, which reads tags in its texts.
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function show(id, lines) {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--soft").trim();
  const traces = lines.map(([label, y, look], at) => ({
    x: columns.t_s, y, name: escaped(label), type: "scatter", mode: columns.t_s.length > 1 ? "lines" : "markers",
    line: { color: COLORS[at % COLORS.length], width: 1.8, ...look }, connectgaps: false,
  }));
  const axis = { gridcolor: "rgba(128,128,128,0.25)", zerolinecolor: "rgba(128,128,128,0.25)", linecolor: ink, exponentformat: "none",
    separatethousands: true, automargin: true };
  const layout = {
    margin: { l: 46, r: 10, t: 6, b: 28 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: ink }, showlegend: lines.length > 1,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, hovermode: "x unified",
    hoverlabel: { bgcolor: "#24292f", font: { color: "#ffffff" } },
    xaxis: { ...axis, ticksuffix: " s" }, yaxis: { ...axis, rangemode: "tozero" }, uirevision: "kept", datarevision: revision,
  };
  Plotly.react(id, traces, layout, { displayModeBar: false, responsive: true });
}

// What the page shows of a frame, and its buttons. Texts from outside are set as text, never as markup.
"use strict";

import * as charts from "./charts.js";
import { ask, follow, keepToken, pause, pauses, Refused, takeToken } from "./link.js";
import { count, ms, NO_DATA, percent, rate, success } from "./words.js";

const STEP = 0.1; // as the keys + and - of the terminal
const SURE_MS = 3000; // in which a second click means it
const CARDS = { users: count, in_flight: count, completed: count, failed: count, requests_per_s: rate, tokens_per_s: rate,
  ttft_p50_ms: ms, ttft_p99_ms: ms, itl_p50_ms: ms, itl_p99_ms: ms };
const RANKED_BY = { tokens: "tokens so far", ttft: "TTFT p50" };
const HEALTH = { healthy: "good", warning: "warn", error: "bad", starting: "" };
const VERDICT = { PASS: "good", INFO: "", WARNING: "warn" };
const LOST_AFTER = 6; // tries in a row that find nobody: the run is gone

const at = (id) => document.getElementById(id);
let frame = null;
let ended = false;

function cell(text, kind = "") {
  const made = document.createElement("td");
  made.textContent = text;
  made.className = kind;
  return made;
}

function fill(section, rows) {
  at(section).hidden = rows.length === 0;
  at(section).querySelector("tbody").replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  }));
}

function setState(kind, phase, where, reasons = "") {
  at("state").className = `state ${kind}`;
  at("where").textContent = where;
  // Only what changed is set: a screen reader says these aloud each time.
  for (const [id, text] of [["phase", phase], ["reasons", reasons]]) if (at(id).textContent !== text) at(id).textContent = text;
}

function showFrame(newest) {
  frame = newest;
  const left = frame.remaining_s === null ? "" : `, ${Math.round(frame.remaining_s)} s left`;
  setState(frame.paused ? "warn" : "", frame.paused ? "paused" : frame.phase, `${Math.floor(frame.elapsed_s)} s${left}`);
  at("progress").hidden = frame.part_done === null;
  at("progress").value = frame.part_done ?? 0;
  for (const [name, shown] of Object.entries(CARDS)) at(name).textContent = shown(frame[name]);
  at("failed").className = frame.failed ? "bad" : "";
  at("users-name").textContent = askedFor();
  fill("errors", Object.entries(frame.errors).sort((a, b) => b[1] - a[1]).map(([kind, number]) => [cell(kind), cell(count(number), "n")]));
  fill("gates", frame.gates.map(gateRow));
  fill("servers", [...frame.endpoints].sort((a, b) => (a.rank ?? Infinity) - (b.rank ?? Infinity)).map(serverRow));
  at("ranked-by").textContent = RANKED_BY[frame.ranked_by];
  at("by-server").hidden = frame.endpoints.length === 0;
  at("generator").textContent =
    `${frame.receive_clock} clock, stamp lag p99 ${ms(frame.stamp_lag_p99_us === null ? null : frame.stamp_lag_p99_us / 1e3)}, ` +
    `lateness p99 ${ms(frame.lateness_p99_ms)}, coalesced ${percent(frame.coalesced_ratio)}, ring ${percent(frame.ring_fill)}, ` +
    `lost ${count(frame.samples_lost)}, missed ${count(frame.missed)}`;
  showControls();
  if (charts.add(frame)) charts.draw();
}

function askedFor() {
  if (frame.level === null || (!frame.open_loop && Math.round(frame.level) === frame.users)) return "users";
  return frame.open_loop ? `users; ${rate(frame.level)} requests/s asked for` : `users; ${count(Math.round(frame.level))} asked for`;
}

function gateRow(gate) {
  const says = gate.holds === null ? ["no data", "warn"] : gate.holds ? ["holds", "good"] : ["MISSED", "bad"];
  const value = gate.value === null ? NO_DATA : `${Number(gate.value.toPrecision(3)).toLocaleString("en-US")} ${gate.unit}`;
  return [cell(gate.gate), cell(value, "n"), cell(...says)];
}

function serverRow(server) {
  return [cell(server.rank ?? NO_DATA, "n"), cell(server.name), cell(server.health, HEALTH[server.health]), cell(count(server.tokens), "n"),
    cell(rate(server.tokens_per_s), "n"), cell(rate(server.requests_per_s), "n"), cell(count(server.completed), "n"),
    cell(count(server.failed), server.failed ? "n bad" : "n"), cell(success(server.completed, server.failed), "n"),
    cell(count(server.in_flight), "n"), cell(ms(server.ttft_p50_ms), "n"), cell(ms(server.ttft_p99_ms), "n"),
    cell(ms(server.itl_p50_ms), "n"), cell(ms(server.itl_p99_ms), "n")];
}

// --- buttons ----------------------------------------------------------------------------------------------------------------

function showControls() {
  const over = ended || frame.phase === "draining";
  at("controls").hidden = false;
  at("level-name").textContent = frame.open_loop ? "requests/s" : "users";
  at("pause").textContent = frame.paused ? "resume" : "pause";
  for (const id of ["less", "more", "set", "level", "pause"]) at(id).disabled = over;
  for (const id of ["stop", "abort"]) at(id).disabled = ended || (over && id === "stop");
  if (document.activeElement !== at("level")) at("level").value = level() ?? "";
}

function level() {
  if (frame.open_loop) return frame.level ?? frame.requests_per_s;
  return Math.round(frame.level ?? frame.users);
}

async function command(path, body = {}) {
  try {
    await ask(`v1/${path}`, body);
    at("said").textContent = `${path}: taken`;
  } catch (error) {
    at("said").textContent = error instanceof Refused ? error.message : "the run cannot be reached";
  }
}

function step(sign) {
  const now = level();
  if (!now) return;
  if (frame.open_loop) command("rate", { value: sign * now * STEP, relative: true });
  else if (sign > 0 || now > 1) command("users", { value: sign * Math.max(1, Math.round(now * STEP)), relative: true });
}

/** Ask for a second click: what these do cannot be undone. */
function twice(id, meant) {
  const button = at(id);
  const said = button.textContent;
  button.addEventListener("click", () => {
    if (button.classList.contains("sure")) {
      meant();
      return;
    }
    button.classList.add("sure");
    button.textContent = `${said}?`;
    setTimeout(() => {
      button.classList.remove("sure");
      button.textContent = said;
    }, SURE_MS);
  });
}

at("more").addEventListener("click", () => step(+1));
at("less").addEventListener("click", () => step(-1));
at("set").addEventListener("click", () => command(frame.open_loop ? "rate" : "users", { value: Number(at("level").value) }));
at("level").addEventListener("keydown", (event) => event.key === "Enter" && at("set").click());
at("pause").addEventListener("click", () => command(frame.paused ? "resume" : "pause"));
twice("stop", () => command("stop"));
twice("abort", () => command("abort"));

// --- from the first frame to the last ------------------------------------------------------------------------------------------

function showEnd(outcome) {
  ended = true;
  if (frame) showControls();
  charts.draw();
  at("progress").hidden = true;
  at("lately").hidden = frame === null;
  if (!outcome.status) {
    setState("warn", "The run has ended", "without a result");
    return;
  }
  const kind = !outcome.valid || outcome.status === "FAIL" || outcome.status === "CRITICAL" ? "bad" : outcome.status === "PASS" ? "good" : "warn";
  setState(kind, `The run has ended: ${outcome.valid ? "VALID" : "INVALID"}, ${outcome.status}`, "", outcome.reasons.join("; "));
  fill("gates", outcome.checks.map((check) => [cell(check.name), cell(inUnitOf(check), "n"), cell(check.limit, "n"),
    cell(check.status, VERDICT[check.status] ?? "bad")]));
  at("gates").querySelector("h2").textContent = "Gates, over the measured window";
}

/** The value of a gate in the unit of its limit, such as `< 250 ms` or `WARNING > 1%`. */
function inUnitOf(check) {
  const unit = /\d( us| µs| ms| s|%)?$/.exec(check.limit);
  return check.value === null ? NO_DATA : `${Number(check.value.toPrecision(4)).toLocaleString("en-US")}${unit?.[1] ?? ""}`;
}

async function watch() {
  const status = await (await ask("v1/status")).json();
  at("title").textContent = status.targets.join(", ");
  document.title = `fastload: ${status.targets.join(", ")}`;
  at("about").textContent = `${status.model === null ? "the server's first model" : status.model}, fastload ${status.version}, process ${status.pid}`;
  charts.begin(await (await ask("v1/history")).json());
  charts.draw();
  await follow("v1/stream", (name, data) => (name === "frame" ? showFrame(data) : showEnd(data)));
}

function askForToken(why) {
  setState("warn", "No token", why);
  at("ask").hidden = false;
}

async function main() {
  let waits = pauses();
  for (let failures = 0; !ended && failures < LOST_AFTER; ) {
    try {
      await watch();
      failures = 0;
      waits = pauses();
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return askForToken(error.message);
      if (error instanceof Refused && error.status === 503) setState("", "waiting", error.message);
      else failures += 1;
      if (failures && !ended) setState("warn", "connection lost", "trying again");
    }
    if (!ended) await pause(waits.next().value);
  }
  if (!ended) showEnd({});
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token").value.trim());
  at("ask").hidden = true;
  main();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.draw());
document.addEventListener("visibilitychange", () => charts.draw());
addEventListener("hashchange", () => location.reload());

if (takeToken()) main();
else askForToken("Whoever has it may watch this run and change it.");

// The page's side of the control API: the token, requests, and the stream of frames. Knows nothing of what is shown.
"use strict";

const KEPT = "fastload-token";
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;

/** Take the token out of the address, so that it is in no history, screenshot or bookmark; a reload finds it again. */
export function takeToken() {
  const given = decodeURIComponent(location.hash.replace(/^#(token=)?/, ""));
  if (given) {
    sessionStorage.setItem(KEPT, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEPT);
}

export function keepToken(token) {
  sessionStorage.setItem(KEPT, token);
}

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** Ask the API; throws `Refused` with its own words. */
export async function ask(path, body) {
  const options = { headers: { Authorization: `Bearer ${sessionStorage.getItem(KEPT) || ""}` }, cache: "no-store" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    throw new Refused(response.status, said.error || `status ${response.status}`);
  }
  return response;
}

/** Read server-sent events until the stream ends; EventSource would do, but sends no token. */
export async function follow(path, onEvent) {
  const response = await ask(path);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const fields = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      onEvent(fields.event, JSON.parse(fields.data));
    }
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Pauses between tries, each twice as long as the last. */
export function* pauses() {
  for (let ms = FIRST_PAUSE_MS; ; ms = Math.min(2 * ms, LONGEST_PAUSE_MS)) yield ms;
}

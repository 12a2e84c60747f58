// Numbers as people read them; the same as fastload/report/words.py. No data is a dash, never 0.
"use strict";

export const NO_DATA = "-";

const digits = (value) => {
  const size = Math.abs(value);
  if (size >= 99.95 || size === 0) return Math.round(value).toLocaleString("en-US");
  return size >= 9.995 ? value.toFixed(1) : value.toFixed(2);
};

export const count = (value) => (value == null ? NO_DATA : value.toLocaleString("en-US"));
export const rate = (value) => (value == null ? NO_DATA : digits(value));

export function ms(value) {
  if (value == null) return NO_DATA;
  if (Math.abs(value) >= 999.5) return `${digits(value / 1e3)} s`;
  if (Math.abs(value) >= 0.9995 || value === 0) return `${digits(value)} ms`;
  return `${digits(value * 1e3)} µs`;
}

export function percent(ratio) {
  if (ratio == null) return NO_DATA;
  if (ratio > 0 && ratio < 1e-4) return "<0.01 %";
  return ratio < 0.995 ? `${Number((ratio * 100).toPrecision(2))} %` : `${(ratio * 100).toFixed(0)} %`;
}

/** The share of requests that were completed, never 100 % when one failed. */
export function success(completed, failed) {
  if (completed + failed === 0) return NO_DATA;
  return failed === 0 ? "100 %" : `${Math.min((completed / (completed + failed)) * 100, 99.9).toFixed(1)} %`;
}

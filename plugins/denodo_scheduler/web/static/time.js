// Times: relative to the server's clock, with the exact time on hover and focus.

import { h, s } from "./dom.js";

let ahead = 0; // milliseconds by which the server's clock is ahead of ours

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** Take over the server's clock, as an answer's `at` gives it. */
export function setClock(at) {
  const moment = Date.parse(at);
  if (!Number.isNaN(moment)) ahead = moment - Date.now();
}

/** The same by the `Date` of an answer, which knows no more than seconds: where our own clock was set meanwhile. */
export function correctClock(date) {
  if (Math.abs(Date.parse(date ?? "") - serverNow()) > 5000) setClock(date);
}

/** Milliseconds since 1970 by the server's clock. */
export const serverNow = () => Date.now() + ahead;

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** "2 h 5 min" of a number of seconds: the largest unit, and the next one where that is not nothing. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const first = Math.max(0, UNITS.findIndex(([, size]) => whole >= size));
  const [unit, size] = UNITS[whole === 0 ? 3 : first];
  const most = Math.floor(whole / size);
  const [smaller, less] = UNITS[first + 1] ?? [];
  const rest = less && most < 10 ? Math.floor((whole % size) / less) : 0;
  return rest ? `${most} ${unit} ${rest} ${smaller}` : `${most} ${unit}`;
}

/** Seconds from `at` until now. */
export const age = (at) => (serverNow() - Date.parse(at)) / 1000;

/** After so many seconds it says little about now what was heard or read. */
const LONG_AGO = 900;
export const longSince = (at) => age(at) > LONG_AGO;

export function ago(at) {
  const seconds = age(at);
  if (Number.isNaN(seconds)) return "at an unknown time";
  if (seconds > -2 && seconds < 1) return "just now";
  return seconds < 0 ? `in ${span(-seconds)}` : `${span(seconds)} ago`;
}

const local = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", day: "numeric", month: "short", year: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const long = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const short = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });

const valid = (at) => !Number.isNaN(Date.parse(at));
const utc = (at) => new Date(at).toISOString().slice(0, 19).replace("T", " ");

/** The exact time, here and in UTC. */
export const exact = (at) => (valid(at) ? `${local.format(new Date(at))} = ${utc(at)} UTC` : "unknown");
export const hour = (at) => (valid(at) ? clock.format(new Date(at)) : "?");
export const dayAndTime = (at) => (valid(at) ? long.format(new Date(at)) : "at an unknown time");
export const dayAndMinute = (at) => (valid(at) ? short.format(new Date(at)) : "at an unknown time");
export const day = (at) => (valid(at) ? date.format(new Date(at)) : "Unknown day");

/** How long ago, kept up to date; `focus`: can be reached with the keyboard, which shows the exact time. */
export const when = (at, { focus = false } = {}) =>
  at
    ? h("time", { datetime: at, class: "when", "data-at": at, "data-exact": exact(at), tabindex: focus ? 0 : null }, ago(at))
    : h("span", {}, "never");

/** The same in a drawing. */
export const whenText = (at) => s("tspan", { "data-at": at }, ago(at));

/** The age itself, without "ago". */
export const old = (at, { focus = false } = {}) =>
  h("time", { datetime: at, class: "when", "data-age": at, "data-exact": exact(at), tabindex: focus ? 0 : null }, span(age(at)));

function tick() {
  for (const each of document.querySelectorAll("[data-at], [data-age]")) {
    const text = each.dataset.at ? ago(each.dataset.at) : span(age(each.dataset.age));
    if (each.textContent !== text) each.textContent = text;
  }
}

setInterval(tick, 1000);

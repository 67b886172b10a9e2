// The tab "Quiet moments": when, in the coming day, jobs are due, and when nothing is.

import { pairPath } from "./api.js";
import { count, h, name, s, told } from "./dom.js";
import { instead } from "./parts.js";
import { repeat } from "./repeat.js";
import { age, exact, hour, serverNow, span, when, zone } from "./time.js";

const MINUTE = 60_000;
const LISTED = 12;

const at = (moment) => new Date(moment).toISOString();

/** One hour as bars: how much is due in each of its minutes, and below it where the quiet moments are. */
function bars(minutes, quiet, most, now) {
  const due = minutes.map((number, index) => {
    if (!number) return "";
    const height = 3 + (15 * Math.log1p(number)) / Math.log1p(most);
    return `M${index + 0.1} 20v${-height.toFixed(1)}h.8V20z`;
  }).join("");
  return s("svg", { viewBox: "0 0 60 26", preserveAspectRatio: "none", "aria-hidden": "true", class: "hour" },
    quiet.map(([from, to]) => s("rect", { x: from, y: 0, width: Math.max(0.4, to - from), height: 26, class: "window" })),
    s("path", { d: "M0 20H60", class: "ground" }), s("path", { d: due, class: "due" }),
    quiet.map(([from, to]) => s("rect", { x: from, y: 21, width: Math.max(0.4, to - from), height: 5, class: "mark" })),
    now === null ? null : s("path", { d: `M${now} 0V26`, class: "now" }));
}

/** The day as hours: [begin of the hour, its 60 counts, its windows in minutes, the present minute]. */
function hours(said) {
  const begin = Math.floor(Date.parse(said.begin) / MINUTE) * MINUTE;
  const lead = Math.floor((begin % (60 * MINUTE)) / MINUTE);
  const first = begin - lead * MINUTE;
  const minutes = [...Array(lead).fill(0), ...said.minutes];
  return Array.from({ length: Math.ceil(minutes.length / 60) }, (_, index) => {
    const from = first + index * 60 * MINUTE;
    const within = (moment) => (Date.parse(moment) - from) / MINUTE;
    const windows = (said.windows ?? []).filter((each) => within(each.end) > 0 && within(each.begin) < 60);
    const now = (serverNow() - from) / MINUTE;
    return {
      from, windows,
      minutes: minutes.slice(index * 60, index * 60 + 60),
      quiet: windows.map((each) => [Math.max(0, within(each.begin)), Math.min(60, within(each.end))]),
      now: now >= 0 && now < 60 ? now : null,
    };
  });
}

const minutesOf = (windows) => windows.map((each) => h("span", {}, `${hour(each.begin)}–${hour(each.end)}`));

function picture(said) {
  const all = hours(said);
  const most = Math.max(1, ...said.minutes);
  const rows = all.map((each) => {
    const due = each.minutes.reduce((sum, number) => sum + number, 0);
    const named = each.windows.filter((one) => Date.parse(one.end) - Date.parse(one.begin) >= MINUTE).slice(0, 4);
    const more = each.windows.length - named.length;
    return h("tr", {},
      h("th", { scope: "row" }, h("span", { "data-exact": exact(at(each.from)), class: "when" }, hour(at(each.from))), h("span", { class: "dim utc" }, ` ${at(each.from).slice(11, 16)} UTC`)),
      h("td", { class: "bars" }, bars(each.minutes, each.quiet, most, each.now)),
      h("td", { class: "number" }, due),
      h("td", { class: "windows" }, minutesOf(named), more ? h("span", {}, `${named.length ? "and " : ""}${more} more`) : "", each.windows.length ? "" : h("span", { class: "dim" }, "none")));
  });
  return h("table", { class: "plain day" },
    h("caption", {}, `Each row is an hour, each bar a minute: the higher, the more runs are due (at most ${most}). Green ground is a quiet moment.`),
    h("thead", {}, h("tr", {}, ["Hour", "Minutes", "Due", "Quiet moments"].map((title) => h("th", { scope: "col" }, title)))), h("tbody", {}, rows));
}

function next(said) {
  const coming = (said.windows ?? []).filter((each) => age(each.end) < 0);
  const list = coming.slice(0, LISTED).map((each) => h("li", {}, h("strong", {}, `${hour(each.begin)}–${hour(each.end)}`), ` ${span((Date.parse(each.end) - Date.parse(each.begin)) / 1000)}, `, age(each.begin) > 0 ? "now" : when(each.begin)));
  return h("section", { class: "card", "aria-label": "Next quiet moments" }, h("h2", {}, "Next quiet moments"),
    list.length ? h("ol", {}, list) : instead(`There is none of ${span(said.window_seconds ?? 0)} or longer in this day.`),
    coming.length > LISTED ? h("p", { class: "dim" }, `and ${coming.length - LISTED} more in this day`) : null);
}

function busiest(said) {
  return h("section", { class: "card", "aria-label": "Most often due" }, h("h2", {}, "Most often due"),
    said.busiest?.length ? h("ol", {}, said.busiest.map((each) => h("li", {}, name(each.job), `: ${count(each.count, "run")}`))) : instead("Nothing is due in this day."));
}

/** Show the tab in `place`. */
export function showQuiet(place, pair) {
  const problem = h("div", { class: "wide" });
  const body = h("div", { class: "quiet panel wide" }, h("p", { class: "loading" }, "Loading …"));
  place.replaceChildren(problem, body);
  const stop = repeat(pairPath(pair, "/quiet"), problem, (said) => {
    if (said.problem || !said.minutes?.length) {
      body.replaceChildren(instead(told(said.problem || "It is not known when jobs are due: no job was read yet.")));
      return;
    }
    const other = said.zone && said.zone !== zone ? ` The crons are those of ${said.zone}.` : "";
    body.replaceChildren(
      h("section", { class: "card wide", "aria-label": "The coming day" }, h("h2", {}, `The coming day of the ${said.of}`),
        h("p", {}, `Times are in your time zone, ${zone}, with UTC beside them.${other} A sync imports jobs in moments of ${span(said.window_seconds ?? 0)} or longer in which none of them is due. `, told(said.note)),
        picture(said)),
      next(said), busiest(said));
  });
  return { stop };
}

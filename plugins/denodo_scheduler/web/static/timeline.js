// The tab "Timeline": the events as a strip over hours to weeks and as a list, each of which unfolds into its facts.

import { get, pairPath } from "./api.js";
import { count, h, s } from "./dom.js";
import { link } from "./links.js";
import { badge, instead, lookOf, words } from "./parts.js";
import { age, day, dayAndMinute, dayAndTime, exact, serverNow, span, when } from "./time.js";

const MOST = 2000;
const WINDOW = 60; // events put into the list at a time
const BARS = 160;
const SCALES = [["6 hours", 6], ["24 hours", 24], ["3 days", 72], ["1 week", 168], ["4 weeks", 672], ["everything", 0]];
const WORST = ["ok", "notice", "unknown", "warning", "critical"];

/** What an event unfolds into. */
function details(said) {
  return [
    h("dl", { class: "facts" }, (said.facts ?? []).map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, value)))),
    said.runbook ? h("p", {}, link(said.runbook, { fresh: true }, "Runbook for this")) : null,
    h("details", { class: "raw" }, h("summary", {}, "As it is stored"), h("pre", { tabindex: 0 }, JSON.stringify(said.event, null, 2))),
  ].filter(Boolean);
}

function unfold(pair, event) {
  const inner = h("div", { class: "unfolded" });
  let asked = false;
  async function open() {
    if (asked || !folded.open) return;
    asked = true;
    inner.replaceChildren(h("p", { class: "dim" }, "Loading …"));
    try {
      inner.replaceChildren(...details(await get(pairPath(pair, `/events/${event.n}`), { remember: false })));
    } catch (failure) {
      asked = false;
      inner.replaceChildren(instead(`The details cannot be shown: ${failure.message}. Fold and unfold it to try again.`));
    }
  }
  const folded = h("details", { ontoggle: open }, h("summary", {}, "Details"), inner);
  return folded;
}

function line(pair, event) {
  const by = [event.who ? `by ${event.who}` : "", event.why ?? "", event.seconds ? `took ${span(event.seconds)}` : ""].filter(Boolean);
  return h("li", { class: `event ${lookOf(event.level)}` },
    h("div", { class: "head" }, badge(event.level), h("strong", {}, words(event.kind)), h("span", { class: "at" }, dayAndTime(event.at), " · ", when(event.at)),
      event.run_url ? link(event.run_url, { class: "run" }, "Run") : null),
    h("p", {}, event.text),
    by.length ? h("p", { class: "dim" }, by.join(" · ")) : null,
    unfold(pair, event));
}

function strip(events, from, to) {
  const bars = Array.from({ length: BARS }, () => [0, 0]);
  for (const event of events) {
    const place = Math.min(BARS - 1, Math.max(0, Math.floor(((Date.parse(event.at) - from) / (to - from || 1)) * BARS)));
    if (Number.isNaN(place)) continue;
    bars[place][0] += 1;
    bars[place][1] = Math.max(bars[place][1], WORST.indexOf(lookOf(event.level)));
  }
  const most = Math.log1p(Math.max(1, ...bars.map(([number]) => number)));
  const moment = (index) => new Date(from + (index / BARS) * (to - from)).toISOString();
  return h("div", { class: "strip" },
    s("svg", { viewBox: `0 0 ${BARS} 40`, preserveAspectRatio: "none", role: "img", "aria-label": `When the events were: ${count(events.length, "event")}; the list below names them` },
      bars.map(([number, worst], index) => {
        if (!number) return null;
        const height = 6 + (34 * Math.log1p(number)) / most;
        return s("rect", { x: index, y: 40 - height, width: 0.8, height, class: WORST[worst] }, s("title", {}, `${count(number, "event")}, ${exact(moment(index))}`));
      })),
    h("div", { class: "axis", "aria-hidden": "true" }, [0, 0.5, 1].map((share) => h("span", {}, share === 1 ? "now" : dayAndMinute(moment(share * BARS))))));
}

const option = (value, text, chosen) => h("option", { value, selected: value === chosen }, text);

/** Show the tab in `place`; a new last event of the pair lets it ask for what is new. */
export function showTimeline(place, pair) {
  let events = [];
  let more = false;
  let heard = null;
  let busy = false;
  let asked = false;
  const kinds = h("select", { id: "kind", onchange: draw });
  const scale = h("select", { id: "scale", onchange: draw }, SCALES.map(([text, hours]) => option(hours, text, 168)));
  const total = h("p", { class: "total" });
  const problem = h("div", {});
  const bars = h("div", {});
  const list = h("ol", { class: "events" });
  const end = h("button", { type: "button", class: "button", onclick: () => grow() });
  const made = new Map(); // the lines by the number of their event, so that what is unfolded stays so
  let shown = [];

  const seen = new IntersectionObserver((entries) => entries.some((each) => each.isIntersecting) && grow(), { rootMargin: "400px" });
  seen.observe(end);

  function add(from, to) {
    let last = from ? day(shown[from - 1].at) : "";
    for (const event of shown.slice(from, to)) {
      if (day(event.at) !== last) list.append(h("li", { class: "day" }, (last = day(event.at))));
      if (!made.has(event.n)) made.set(event.n, line(pair, event));
      list.append(made.get(event.n));
    }
  }

  let listed = 0;
  function grow(window = WINDOW) {
    const to = Math.min(shown.length, listed + window);
    add(listed, to);
    listed = to;
    end.hidden = listed >= shown.length;
    end.textContent = `Show more: ${shown.length - listed} older events`;
  }

  function options() {
    const by = new Map();
    for (const { kind } of events) by.set(kind, (by.get(kind) ?? 0) + 1);
    const chosen = kinds.value;
    kinds.replaceChildren(option("", `all kinds (${events.length})`, chosen), ...[...by].sort().map(([kind, number]) => option(kind, `${words(kind)} (${number})`, chosen)));
  }

  function draw() {
    const hours = Number(scale.value);
    const oldest = events.at(-1);
    const now = serverNow();
    const from = hours || !oldest ? now - (hours || 1) * 3600_000 : Date.parse(oldest.at);
    shown = events.filter((event) => (!kinds.value || event.kind === kinds.value) && !(hours && age(event.at) > hours * 3600));
    bars.replaceChildren(shown.length ? strip(shown, from, now) : instead(events.length ? "No event of this kind in this time." : "There is no event yet."));
    total.textContent = `${shown.length} of ${count(events.length, "event")}${more ? "; older ones are in `denodo-ha history`" : ""}`;
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    const window = Math.max(WINDOW, listed);
    list.replaceChildren();
    listed = 0;
    grow(window);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }

  async function ask(latest) {
    if (busy || (asked && heard === latest)) return;
    busy = true;
    try {
      const after = asked && events.length ? `&after=${events[0].n}` : "";
      const said = await get(pairPath(pair, `/events?limit=${MOST}${after}`), { remember: false });
      const known = new Set(events.map((event) => event.n));
      const fresh = said.events.filter((event) => !known.has(event.n));
      events = [...fresh, ...events].slice(0, MOST);
      const kept = new Set(events.map((event) => event.n));
      for (const n of made.keys()) if (!kept.has(n)) made.delete(n);
      more = asked ? more : said.more;
      problem.replaceChildren();
      if (fresh.length || !asked) {
        options();
        draw();
      }
      asked = true;
      heard = latest;
    } catch (failure) {
      problem.replaceChildren(instead(`The events cannot be shown: ${failure.message}. They are asked for again by themselves.`));
    } finally {
      busy = false;
    }
  }

  place.replaceChildren(h("section", { class: "card wide", "aria-label": "Timeline" }, h("h2", {}, "Timeline"),
    h("div", { class: "tools" }, h("label", { for: "kind" }, "Kind"), kinds, h("label", { for: "scale" }, "The last"), scale, total), problem, bars, list, end));
  return {
    update: (said) => ask(JSON.stringify(said.last_event ?? null)),
    stop: () => seen.disconnect(),
  };
}

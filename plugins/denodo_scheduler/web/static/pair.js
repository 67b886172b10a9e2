// One pair: its headline, and the tabs below it. Only the tab that is open asks for more than the pair itself.

import { pairPath, poll } from "./api.js";
import { announce, h, keepParts, name, told } from "./dom.js";
import { showJobs } from "./jobs.js";
import { overview } from "./overview.js";
import { badge, lookOf } from "./parts.js";
import { showQuiet } from "./quiet.js";
import { lead } from "./story.js";
import { longSince } from "./time.js";
import { showTimeline } from "./timeline.js";

const TABS = [["now", "Now"], ["timeline", "Timeline"], ["jobs", "Jobs"], ["quiet", "Quiet moments"]];

function tabs(pair, open) {
  const address = (tab) => `#/pair/${encodeURIComponent(pair)}/${tab}`;
  return h("nav", { class: "tabs", "aria-label": "Views of the pair" }, TABS.map(([tab, title]) =>
    h("a", { href: address(tab), "data-focus": `tab ${tab}`, "aria-current": tab === open ? "page" : null }, title)));
}

const headline = (said) => h("div", { class: `headline ${lookOf(said.level)}` },
  h("div", { class: "head" }, badge(said.level), h("p", { class: "lead" }, lead(said))),
  h("p", { class: "what clamp" }, told(said.what)));

/** @returns {{stop: function, open: function}} what ends the view, and what opens another of its tabs */
export function showPair(view, top, pair, tab, state) {
  let said = null;
  let level = null;
  let open = tab;
  let panel = null;
  const head = h("div", {});
  const bar = h("div", {});
  const place = h("div", { class: "panel" });

  const VIEWS = {
    now: () => overview(place, pair),
    timeline: () => showTimeline(place, pair),
    jobs: () => showJobs(place, pair),
    quiet: () => showQuiet(place, pair),
  };

  function draw() {
    const { level: rank, what, active, phase, verdict, since, servers, looked } = said;
    const shown = { level: rank, what, active, phase, verdict, since, servers, looked, long: longSince(looked) };
    keepParts(head, [["headline", shown, headline]]);
    panel.update?.(said);
  }

  function start() {
    panel?.stop?.();
    place.replaceChildren();
    keepParts(bar, [["tabs", open, () => tabs(pair, open)]]);
    panel = (VIEWS[open] ?? VIEWS.now)();
    if (said) draw();
  }

  top.replaceChildren(h("p", { class: "back" }, h("a", { href: "#/" }, "All pairs")), h("h1", {}, "Pair ", name(pair)));
  document.title = `${pair} – Denodo pair`;
  const stop = poll(pairPath(pair), (answer) => {
    const first = !said;
    said = answer;
    if (first) {
      view.replaceChildren(head, bar, place);
      start();
    } else {
      draw();
    }
    if (level && level !== said.level) announce(`The pair is ${said.level.toLowerCase()} now: ${said.what}`);
    level = said.level;
  }, state);

  return {
    stop: () => { stop(); panel?.stop?.(); },
    open: (next) => {
      open = next;
      if (said) start();
    },
  };
}

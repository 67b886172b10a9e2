// The tab "Jobs": both servers side by side. Of thousands of rows only those in sight are in the document.

import { pairPath } from "./api.js";
import { count, h, name, told } from "./dom.js";
import { instead, words } from "./parts.js";
import { repeat } from "./repeat.js";
import { dayAndMinute, dayAndTime, when } from "./time.js";

const SPARE = 10; // rows above and below those in sight
const STATES = [["", "all"], ["same", "same"], ["different", "different"], ["missing", "missing"], ["pending", "pending"]];
const LOOK = { same: "ok", different: "warning", missing: "critical", pending: "notice" };
const SIGN = { same: "✓", different: "≠", missing: "✕", pending: "…" };
const COLUMNS = [
  ["project", "Project"], ["name", "Job"], ["state", "Compared"], ["master", "Master"], ["slave", "Slave"],
  ["next_master", "Next on master"], ["next_slave", "Next on slave"], ["note", "Note"],
];
const TIMES = ["next_master", "next_slave"];

const state = (text) => h("span", { class: `state ${LOOK[text] ?? "unknown"}` }, h("span", { "aria-hidden": "true" }, `${SIGN[text] ?? "?"} `), words(text));

function value(job, column) {
  const text = job[column];
  if (column === "state") return state(text);
  if (column === "project" || column === "name") return name(text);
  if (TIMES.includes(column)) return text ? dayAndMinute(text) : "–";
  return text ?? "";
}

function row(job, index, chosen) {
  return h("tr", { role: "row", "aria-rowindex": index + 2, "data-index": index, tabindex: chosen ? 0 : -1, "aria-selected": chosen ? "true" : "false" },
    COLUMNS.map(([column, title]) => h("td", { role: "gridcell", class: `c-${column} v-${job[column]}`.slice(0, 40), "data-label": title }, value(job, column))));
}

function about(job) {
  return [h("h3", {}, "Chosen job"), h("dl", { class: "facts" }, COLUMNS.filter(([column]) => job[column]).map(([column, title]) =>
    h("div", {}, h("dt", {}, title), h("dd", {}, TIMES.includes(column) ? [dayAndTime(job[column]), " (", when(job[column]), ")"] : column === "note" ? told(job.note) : value(job, column)))))];
}

/** A table of which only the rows in sight exist. Arrow keys, Page up and down, Home and End move through it. */
function grid(chosen) {
  let jobs = [];
  let at = 0; // the row that has the focus
  const above = h("tr", { "aria-hidden": "true", class: "space" }, h("td", { colspan: COLUMNS.length }));
  const below = h("tr", { "aria-hidden": "true", class: "space" }, h("td", { colspan: COLUMNS.length }));
  const body = h("tbody", { role: "rowgroup" });
  const table = h("table", { role: "grid", class: "jobs", "aria-label": "Jobs of both servers" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row", "aria-rowindex": 1 }, COLUMNS.map(([column, title]) => h("th", { role: "columnheader", scope: "col", class: `c-${column}` }, title)))),
    body);
  const scroll = h("div", { class: "scroll grid" }, table);
  const height = () => Number.parseFloat(getComputedStyle(scroll).getPropertyValue("--row")) || 34;
  const first = () => body.offsetTop;
  let shown = "";

  function draw(anew = false) {
    const one = height();
    const from = Math.max(0, Math.floor((scroll.scrollTop - first()) / one) - SPARE);
    const to = Math.min(jobs.length, Math.ceil((scroll.scrollTop + scroll.clientHeight) / one) + SPARE);
    if (!anew && shown === `${from} ${to} ${at}`) return;
    shown = `${from} ${to} ${at}`;
    const focused = body.contains(document.activeElement);
    above.firstChild.style.height = `${from * one}px`;
    below.firstChild.style.height = `${(jobs.length - to) * one}px`;
    const rows = jobs.slice(from, to).map((job, index) => row(job, from + index, from + index === at));
    body.replaceChildren(...(from ? [above] : []), ...rows, ...(to < jobs.length ? [below] : []));
    if (focused) rows[at - from]?.focus({ preventScroll: true });
    if (at < from || at >= to) rows[0]?.setAttribute("tabindex", "0");
  }

  function go(to, focus) {
    if (!jobs.length) return;
    at = Math.max(0, Math.min(jobs.length - 1, to));
    const one = height();
    const top = first() + at * one;
    if (focus && top - first() < scroll.scrollTop) scroll.scrollTop = top - first();
    if (focus && top + one > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + one - scroll.clientHeight;
    draw(true);
    body.querySelector(`[data-index="${at}"]`)?.focus({ preventScroll: true });
    chosen(jobs[at]);
  }

  const page = () => Math.max(1, Math.floor(scroll.clientHeight / height()) - 2);
  const KEYS = {
    ArrowDown: () => at + 1, ArrowUp: () => at - 1, PageDown: () => at + page(), PageUp: () => at - page(),
    Home: () => 0, End: () => jobs.length - 1, Enter: () => at, " ": () => at,
  };
  scroll.addEventListener("scroll", () => requestAnimationFrame(() => draw()));
  scroll.addEventListener("keydown", (press) => {
    if (!KEYS[press.key]) return;
    press.preventDefault();
    const on = Number(press.target.closest("[data-index]")?.dataset.index ?? at);
    at = on;
    go(KEYS[press.key](), true);
  });
  body.addEventListener("click", (click) => {
    const on = click.target.closest("[data-index]");
    if (on) go(Number(on.dataset.index), false);
  });
  const resized = new ResizeObserver(() => draw(true));
  resized.observe(scroll);

  return {
    element: scroll,
    show(list, stay) {
      jobs = list;
      at = stay ? Math.min(at, Math.max(0, jobs.length - 1)) : 0;
      if (!stay) scroll.scrollTop = 0;
      table.setAttribute("aria-rowcount", String(jobs.length + 1));
      draw(true);
    },
    stop: () => resized.disconnect(),
  };
}

/** Show the tab in `place`. */
export function showJobs(place, pair) {
  let jobs = [];
  let counts = {};
  let wanted = "";
  const search = h("input", { type: "search", id: "job", autocomplete: "off", placeholder: "part of a name", oninput: () => draw(false) });
  const total = h("p", { class: "total" });
  const buttons = h("div", { class: "filters", role: "group", "aria-label": "Compared" });
  const read = h("p", { class: "dim" });
  const problem = h("div", {});
  const unread = h("div", {});
  const nothing = h("div", {});
  const chosen = h("div", { class: "chosen", hidden: true });
  const table = grid((job) => {
    chosen.hidden = false;
    chosen.replaceChildren(...about(job));
  });

  function filters() {
    const number = (key) => counts[key] ?? jobs.filter((job) => job.state === key).length;
    buttons.replaceChildren(...STATES.map(([key, title]) => h("button", {
      type: "button", "aria-pressed": key === wanted ? "true" : "false",
      onclick: (click) => { wanted = key; for (const each of buttons.children) each.setAttribute("aria-pressed", String(each === click.currentTarget)); draw(false); },
    }, `${title} (${key ? number(key) : jobs.length})`)));
  }

  function draw(stay) {
    const part = search.value.trim().toLowerCase();
    const shown = jobs.filter((job) => (!wanted || job.state === wanted) && (!part || job.text.includes(part)));
    table.element.hidden = !shown.length;
    table.show(shown, stay);
    total.textContent = `${shown.length} of ${count(jobs.length, "job")}`;
    nothing.replaceChildren(shown.length ? "" : instead(jobs.length ? "No job is like this." : "No job was read yet: a sync or a look at the servers does it."));
  }

  place.replaceChildren(h("section", { class: "card wide", "aria-label": "Jobs" }, h("h2", {}, "Jobs"), read,
    h("div", { class: "tools" }, h("label", { for: "job" }, "Search"), search, buttons, total), problem, unread, table.element, nothing, chosen));

  const stop = repeat(pairPath(pair, "/jobs"), problem, (said) => {
    const first = !jobs.length;
    jobs = (said.rows ?? []).map((values) => Object.fromEntries(said.columns.map((column, index) => [column, values[index]])));
    for (const job of jobs) job.text = `${job.project} ${job.name}`.toLowerCase();
    counts = said.counts ?? {};
    read.replaceChildren("As last read from the master ", when(said.at?.master), " and from the slave ", when(said.at?.slave), ". Nothing is asked of a server for this page. Times are in your time zone.");
    unread.replaceChildren(said.problem ? instead(told(said.problem)) : "");
    filters();
    draw(!first);
  });
  return { stop: () => { stop(); table.stop(); } };
}

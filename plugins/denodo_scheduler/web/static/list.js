// All pairs: one row each, worst first, as the server sends them.

import { poll } from "./api.js";
import { announce, clause, count, h, keep, name, told } from "./dom.js";
import { badge, instead, lookOf, snapshotAge, tooOld, words } from "./parts.js";
import { when } from "./time.js";

const COLUMNS = ["Pair", "Active server", "Verdict on master", "Enabled on master", "Enabled on slave", "Snapshot", "Doubts", "Last event"];

function enabled(counts, active) {
  if (!counts) return h("span", { class: "dim" }, "not read");
  const [some, all] = counts;
  const wrong = active ? some === 0 && all > 0 : some > 0;
  return h("span", { class: wrong ? "counts bad" : "counts" }, h("strong", {}, some), ` of ${all}`);
}

function cell(label, ...children) {
  return h("td", { role: "cell", "data-label": label }, h("div", {}, ...children));
}

const lines = (...children) => children.filter(Boolean).map((child) => h("div", {}, child));

function doubts(row) {
  const said = [
    row.pending ? `${count(row.pending, "job")} pending` : "",
    row.doubts ? count(row.doubts, "doubt") : "",
  ].filter(Boolean);
  return said.length ? said.join(", ") : h("span", { class: "dim" }, "none");
}

function active(row) {
  const phase = row.phase ? words(row.phase) : "";
  return lines(
    row.active ? h("strong", { class: `role ${row.active}` }, row.active) : h("span", { class: "bad" }, "not known"),
    h("span", { class: "dim" }, [phase, row.paused ? "paused" : "", row.epoch ? `epoch ${row.epoch}` : ""].filter(Boolean).join(", ")),
  );
}

function line(row) {
  return h("tr", { role: "row", class: lookOf(row.level) },
    h("th", { role: "rowheader", scope: "row", "data-label": "Pair" },
      h("div", {},
        h("div", { class: "head" }, badge(row.level),
          h("a", { href: `#/pair/${encodeURIComponent(row.pair)}`, "data-focus": row.pair }, name(row.pair))),
        h("p", { class: "what" }, told(row.what)),
        row.next_step ? h("p", { class: "next" }, "Next: ", clause(row.next_step)) : null)),
    cell("Active server", active(row)),
    cell("Verdict on master", lines(words(row.verdict), h("span", { class: "dim" }, "looked ", when(row.looked)))),
    cell("Enabled on master", enabled(row.enabled?.master, row.active === "master")),
    cell("Enabled on slave", enabled(row.enabled?.slave, row.active === "slave")),
    cell("Snapshot", snapshotAge(row.snapshot)),
    cell("Doubts", doubts(row)),
    cell("Last event", row.last_event
      ? lines(h("span", { class: "dim" }, when(row.last_event.at)), h("span", { class: "clamp" }, row.last_event.text))
      : h("span", { class: "dim" }, "none yet")));
}

const matches = (row, wanted) =>
  [row.pair, row.level, row.active, row.phase, row.verdict, row.what].join(" ").toLowerCase().includes(wanted);

function summary(rows, shown) {
  const levels = ["CRITICAL", "WARNING", "UNKNOWN", "OK"].map((level) => [level, rows.filter((row) => row.level === level).length]);
  const said = levels.filter(([, number]) => number).map(([level, number]) => `${number} ${level.toLowerCase()}`);
  const all = count(rows.length, "pair");
  return `${shown === rows.length ? all : `${shown} of ${all}`}: ${said.join(", ")}`;
}

export function showList(view, top, state) {
  let rows = [];
  let levels = null;
  const body = h("tbody", { role: "rowgroup" });
  const total = h("p", { class: "total" });
  const nothing = h("div", {});
  const box = h("input", { type: "search", id: "filter", autocomplete: "off", placeholder: "name, level, phase …", oninput: draw });
  const table = h("table", { role: "table", class: "pairs" },
    h("caption", { class: "unseen" }, "All pairs, the worst first"),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, COLUMNS.map((each) => h("th", { role: "columnheader", scope: "col" }, each)))),
    body);

  function draw() {
    const wanted = box.value.trim().toLowerCase();
    const shown = rows.filter((row) => matches(row, wanted));
    // Whether a snapshot is too old changes by time alone.
    keep(body, shown.map((row) => ({ ...row, old: tooOld(row.snapshot) })), (row) => row.pair, line);
    total.textContent = rows.length ? summary(rows, shown.length) : "";
    table.hidden = !shown.length;
    nothing.replaceChildren(shown.length ? "" : instead(rows.length
      ? "No pair matches the filter."
      : "There is no pair that you may see. A pair is described in the file of pairs; you see those whose DAGs you may see."));
  }

  function tell() {
    const now = new Map(rows.map((row) => [row.pair, row.level]));
    const changed = levels ? [...now].filter(([pair, level]) => levels.has(pair) && levels.get(pair) !== level) : [];
    if (changed.length) announce(changed.map(([pair, level]) => `${pair} is ${level.toLowerCase()} now`).join(", "));
    levels = now;
  }

  const broken = h("div", {});
  top.replaceChildren(h("h1", {}, "Denodo pairs"));
  const tools = h("div", { class: "tools" }, h("label", { for: "filter" }, "Filter"), box, total);
  const stop = poll("pairs", (said) => {
    rows = said.pairs;
    broken.replaceChildren(said.import_error ? h("p", { class: "error", role: "note" }, h("strong", {}, "The file of pairs has a mistake: "), said.import_error) : "");
    if (!table.isConnected) view.replaceChildren(broken, tools, h("div", { class: "card wide" }, table, nothing));
    draw();
    tell();
  }, state);
  document.title = "Denodo pairs";
  return stop;
}

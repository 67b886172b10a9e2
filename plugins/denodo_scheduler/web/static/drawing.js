// The pair as a picture: Airflow, the two web tools and Schedulers, the three paths between them, and the sync.

import { cut, h, name, s, told } from "./dom.js";
import { other, section, snapshotAge, words } from "./parts.js";
import { ago, age, longSince, span, when, whenText } from "./time.js";

const WIDE = {
  width: 600, height: 392, letters: 24, airflow: [220, 6, 160, 46],
  master: [6, 120, 196, 236], slave: [398, 120, 196, 236],
  paths: { master: [[236, 54], [104, 138], [122, 84]], slave: [[364, 54], [496, 138], [480, 84]], second: [[406, 184], [194, 268], [300, 196]] },
  sync: { from: 208, to: 392, y: 326, lines: [312, 346, 364], x: 300 },
};
const NARROW = {
  width: 360, height: 452, letters: 17, airflow: [105, 6, 150, 44],
  master: [3, 130, 140, 236], slave: [217, 130, 140, 236],
  paths: { master: [[120, 52], [60, 148], [56, 84]], slave: [[240, 52], [300, 148], [304, 84]], second: [[225, 194], [135, 278], [180, 206]] },
  sync: { from: 147, to: 213, y: 346, lines: [396, 418, 440], x: 180 },
};

const GOOD = ["alive", "up"];
const SILENT = ["silent", "no_answer", "failed"];
const WORDS = { up: "alive", no_answer: "silent" };
const NUMBERS = { master: 1, second: 2, slave: 3 };

const title = (path) => path.title.charAt(0).toUpperCase() + path.title.slice(1);

/** What was heard on a path as a look, a sign and a word. */
function heard(path) {
  if (!path.said || path.said === "not_asked") return ["unknown", "?", "not asked"];
  const word = WORDS[path.said] ?? words(path.said);
  if (longSince(path.at)) return ["unknown", "?", `${word}, long ago`];
  if (GOOD.includes(path.said)) return ["ok", "✓", word];
  return SILENT.includes(path.said) ? ["critical", "✕", word] : ["warning", "!", word];
}

const text = (x, y, look, ...children) => s("text", { x, y, class: look, "text-anchor": "middle" }, ...children);

function box([x, y, width, height], look, ...lines) {
  const middle = x + width / 2;
  const first = y + height / 2 - (lines.length - 1) * 9 + 5;
  return s("g", { class: look }, s("rect", { x, y, width, height, rx: 8 }), lines.map((line, index) => text(middle, first + index * 18, index ? "small" : "title", line)));
}

function server(said, role, [x, y, width, height], letters) {
  const { connection, address, enabled, jobs } = said.servers?.[role] ?? {};
  const active = said.active === role;
  const counts = enabled === null || enabled === undefined ? "jobs not read" : `${enabled} of ${jobs} enabled`;
  return s("g", { class: `server ${active ? "active" : "passive"}` },
    s("rect", { x, y, width, height, rx: 10, class: "frame" }),
    s("title", {}, `${role}: ${connection ?? ""} ${address ?? ""}`),
    box([x + 10, y + 20, width - 20, 56], "part", "Web tool", s("tspan", {}, cut(connection ?? "", letters - 4))),
    box([x + 10, y + 120, width - 20, 56], "part", "Scheduler", counts),
    text(x + width / 2, y + 202, "role-name", role.toUpperCase()),
    text(x + width / 2, y + 222, active ? "active-name" : "small", said.active ? (active ? "ACTIVE" : "passive") : "role not known"));
}

function path(each, place) {
  const [from, to, label] = place;
  const [look, sign, word] = heard(each);
  return s("g", { class: `path ${look}` },
    s("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], "marker-end": `url(#end-${look})` }),
    text(label[0], label[1], "path-name", `${NUMBERS[each.id] ?? ""} ${sign} ${word}`),
    each.at ? text(label[0], label[1] + 17, "path-age", whenText(each.at)) : null);
}

const SYNC = {
  fresh: ["ok", "in step"], running: ["ok", "sync under way"], stale: ["warning", "snapshot too old"],
  dirty: ["warning", "cannot be trusted"], none: ["unknown", "no sync yet"],
};

function sync(said, { from: left, to: right, y, lines, x }) {
  const { from, to, state, taken, limit, pending_count: pending } = said.sync ?? {};
  if (!from || !to) return null;
  const [look, word] = SYNC[state] ?? ["unknown", String(state)];
  const [x1, x2] = from === "master" ? [left, right] : [right, left];
  return s("g", { class: `path sync ${look}` },
    s("line", { x1, y1: y, x2, y2: y, "marker-end": `url(#end-${look})` }),
    text(x, lines[0], "path-name", said.narrow ? `sync ${from} → ${to}: ${word}` : `sync: ${word}`),
    taken ? text(x, lines[1], "path-age", "snapshot ", s("tspan", { "data-age": taken }, span(age(taken))), " old") : null,
    limit || pending ? text(x, lines[2], "path-age", [limit ? `limit ${span(limit)}` : "", pending ? `${pending} pending` : ""].filter(Boolean).join(", ")) : null);
}

const marker = (look) => s("marker", { id: `end-${look}`, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 16, markerHeight: 16, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" },
  s("path", { d: "M0 0 10 5 0 10z", class: `end ${look}` }));

/** The picture in words. */
function description(said) {
  const roles = said.active ? `The ${said.active} is active, the ${other(said.active)} passive.` : "It is not known which server is active.";
  const paths = (said.paths ?? []).map((each) => `${title(each)}: ${heard(each)[2]}${each.at ? `, ${ago(each.at)}` : ""}.`);
  const { from, to, state, pending_count: pending } = said.sync ?? {};
  const arrow = from ? `The sync goes from the ${from} to the ${to}: ${(SYNC[state] ?? ["", state])[1]}, ${pending ?? 0} jobs pending.` : "";
  return [roles, ...paths, arrow].join(" ");
}

function legend(said) {
  const items = (said.paths ?? []).map((each) => {
    const [look, sign, word] = heard(each);
    return h("li", { class: look }, h("span", { class: "number", "aria-hidden": "true" }, NUMBERS[each.id] ?? ""), h("div", {},
      h("strong", {}, title(each)), h("span", { class: `heard ${look}` }, ` ${sign} ${word}`), " ", when(each.at, { focus: true }),
      each.what ? h("div", { class: "dim" }, told(each.what)) : null));
  });
  const { from, to, jobs, enabled, taken, limit } = said.sync ?? {};
  const arrow = from ? h("li", { class: "arrow" }, h("span", { class: "number", "aria-hidden": "true" }, "↔"), h("div", {},
    h("strong", {}, `Sync from the ${from} to the ${to}`), taken ? [": snapshot ", snapshotAge({ taken, limit })] : ": none yet",
    jobs === null || jobs === undefined ? "" : h("div", { class: "dim" }, `It holds ${jobs} jobs, ${enabled ?? 0} of them to be enabled.`))) : null;
  return h("ul", { class: "legend" }, items, arrow);
}

function names(said) {
  return h("dl", { class: "facts servers" }, ["master", "slave"].map((role) => {
    const { connection, address, read } = said.servers?.[role] ?? {};
    return h("div", {}, h("dt", {}, role), h("dd", {}, name(address || "address not known yet"), connection ? [" by the connection ", name(connection)] : "", read ? [", read ", when(read, { focus: true })] : ", not read yet"));
  }));
}

export function drawing(said) {
  const g = said.narrow ? NARROW : WIDE;
  const byId = Object.fromEntries((said.paths ?? []).map((each) => [each.id, each]));
  const picture = s("svg", { viewBox: `0 0 ${g.width} ${g.height}`, role: "img", "aria-labelledby": "drawing-title drawing-text", class: "drawing" },
    s("title", { id: "drawing-title" }, "The two servers, Airflow, and what was heard between them"), s("desc", { id: "drawing-text" }, description(said)),
    s("defs", {}, ["ok", "warning", "critical", "unknown"].map(marker)),
    server(said, "master", g.master, g.letters), server(said, "slave", g.slave, g.letters),
    box(g.airflow, "part airflow", "Airflow", said.epoch ? `epoch ${said.epoch}` : "no record"),
    Object.entries(g.paths).map(([id, place]) => (byId[id] ? path(byId[id], place) : null)),
    sync(said, g.sync));
  return section("Picture", { class: "card pictured" }, picture, legend(said), names(said));
}

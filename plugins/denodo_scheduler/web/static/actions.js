// Buttons: each opens the form of a DAG, filled in. Nothing is changed without it.

import { clause, h, told } from "./dom.js";
import { openForm } from "./form.js";
import { link } from "./links.js";

const GROUPS = [
  ["suggested", "Suggested now"],
  ["look", "Look"],
  ["sync", "Keep the other server in step"],
  ["switch", "Move the jobs"],
  ["people", "Tell the tool"],
  ["", "More"],
];

/** Whether the action is done by a form; else a page of Airflow does it. */
const hasForm = (each) => Boolean(each.dag_id && each.conf) && each.url === `dags/${encodeURIComponent(each.dag_id)}`;

function button(each, id, pair) {
  const common = { class: "button", "aria-describedby": id, "data-focus": id };
  if (!possible(each)) return h("button", { type: "button", disabled: true, "aria-describedby": id }, each.title);
  if (hasForm(each)) return h("button", { type: "button", "aria-haspopup": "dialog", onclick: () => openForm(each, pair), ...common }, each.title, " …");
  return link(each.url, common, each.title);
}

const possible = (each) => each.allowed && !each.why_not;

function action(each, pair) {
  const id = `what-${each.id}`;
  const why = possible(each) ? null : h("span", { class: "why-not" }, " Not now: ", clause(each.why_not || "you may not trigger it"));
  return h("li", {}, button(each, id, pair), h("p", { id, class: "dim" }, told(each.what), why));
}

const list = (of, pair) => (of.length ? h("ul", { class: "actions" }, of.map((each) => action(each, pair))) : null);

/** What cannot be done now, folded away so that the rest is found sooner. */
const others = (of, group) => (of.length
  ? h("details", { "data-unfolds": group }, h("summary", { "data-focus": `not now ${group}` }, `Not now: ${of.map((each) => each.title).join(", ")}`), list(of))
  : null);

/** The actions by group, those first that help with what is found now. */
export function actions(all, suggested, pair) {
  const known = GROUPS.map(([group]) => group);
  const groupOf = (each) => {
    if (suggested.includes(each.id) && possible(each)) return "suggested";
    return known.includes(each.group) ? each.group : "";
  };
  const groups = GROUPS.map(([group, title]) => [group, title, all.filter((each) => groupOf(each) === group)]);
  return h("div", { class: "groups" }, groups.filter(([, , of]) => of.length).map(([group, title, of]) =>
    h("div", { class: `group ${group}` }, h("h3", {}, title), list(of.filter(possible), pair), others(of.filter((each) => !possible(each)), group))));
}

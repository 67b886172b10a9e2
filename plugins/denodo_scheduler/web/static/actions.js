// Buttons: each opens the trigger form of a DAG, filled in. Nothing is changed from here.

import { h, told } from "./dom.js";
import { link } from "./links.js";

const GROUPS = [
  ["look", "Look"],
  ["sync", "Keep the other server in step"],
  ["switch", "Move the jobs"],
  ["people", "Tell the tool"],
];

function action(each) {
  const id = `what-${each.id}`;
  const what = h("p", { id, class: "dim" }, told(each.what), each.allowed ? null : h("span", { class: "why-not" }, " Not now: ", told(each.why_not || "you may not trigger it")));
  const button = each.allowed
    ? link(each.url, { class: "button", "aria-describedby": id, "data-focus": id }, each.title)
    : h("button", { type: "button", disabled: true, "aria-describedby": id }, each.title);
  return h("li", { class: each.allowed ? null : "off" }, button, what);
}

/** The actions by group; a group that this page does not know comes last. */
export function actions(all) {
  const known = GROUPS.map(([group]) => group);
  const rest = all.some((each) => !known.includes(each.group)) ? [["", "More"]] : [];
  const groups = [...GROUPS, ...rest].map(([group, title]) =>
    [title, all.filter((each) => (group ? each.group === group : !known.includes(each.group)))]);
  return h("div", { class: "groups" }, groups.filter(([, of]) => of.length).map(([title, of]) =>
    h("div", { class: "group" }, h("h3", {}, title), h("ul", { class: "actions" }, of.map(action)))));
}

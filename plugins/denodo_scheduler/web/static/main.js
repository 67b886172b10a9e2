// Which view is shown, and whether it is up to date.

import { showList } from "./list.js";
import { announce, h, keepParts } from "./dom.js";
import { loginLink } from "./links.js";
import { showPair } from "./pair.js";
import { followTheme } from "./theme.js";
import { hour, when } from "./time.js";

const OURS = /^denodo_scheduler_(?:sync|failover|switchover|operations|drill)__(.+)$/;
const view = document.getElementById("view");
const top = document.getElementById("top");
const stale = document.getElementById("stale");
let stop = () => {};
let wasStale = false;

/** The pair and tab that the address names; `dag`: a DAG that is none of ours. */
function wanted() {
  const [, kind, pair, tab] = window.location.hash.slice(1).split("/");
  if (kind === "pair" && pair) return { pair: decode(pair), tab: tab || "now" };
  const dag = new URLSearchParams(window.location.search).get("dag_id");
  if (!dag || window.location.hash.startsWith("#/")) return {};
  const ours = OURS.exec(dag);
  return ours ? { pair: ours[1], tab: "now" } : { dag };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function nextStep({ status }) {
  if (status === 401) return loginLink();
  if (status === 403 || status === 404) return h("a", { href: "#/" }, "See all pairs");
  return "It is asked again every 5 s, and the page goes on by itself.";
}

/** Tell how fresh the view is: `since` the last answer came, and the failure that keeps the next one away. */
function fresh({ since, failure }) {
  const shown = { since: failure ? since : null, why: failure?.message, status: failure?.status };
  keepParts(stale, failure ? [["stale", shown, () => h("div", { class: "stale" },
    h("strong", {}, since ? `Out of date since ${hour(since)}` : "Nothing can be shown"), since ? [" (", when(since, { focus: true }), ")"] : "",
    `: ${failure.message}. `, nextStep(failure))]] : []);
  if (Boolean(failure) !== wasStale) announce(failure ? `The page is out of date: ${failure.message}` : "The page is up to date again");
  wasStale = Boolean(failure);
  if (failure && !since) view.querySelector(".loading")?.remove();
  let updated = top.querySelector(".updated");
  if (!updated) top.append((updated = h("p", { class: "updated" })));
  updated.replaceChildren(...(since ? ["updated ", when(since)] : []));
}

let shown = null;

function show() {
  const { pair, tab, dag } = wanted();
  if (pair && shown?.pair === pair) return shown.open(tab);
  stop();
  shown = null;
  stale.replaceChildren();
  wasStale = false;
  view.replaceChildren(h("p", { class: "loading" }, "Loading …"));
  if (dag) {
    top.replaceChildren(h("h1", {}, "Denodo pair"));
    view.replaceChildren(h("p", { class: "instead" }, "This DAG does not belong to a pair of Denodo Schedulers. ", h("a", { href: "#/" }, "See all pairs")));
    stop = () => {};
  } else if (pair) {
    const opened = showPair(view, top, pair, tab, fresh);
    stop = opened.stop;
    shown = { pair, open: opened.open };
  } else {
    stop = showList(view, top, fresh);
  }
}

followTheme();
window.addEventListener("hashchange", show);
show();

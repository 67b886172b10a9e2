// The form of a DAG, filled in. It starts the DAG as Airflow's own form does, by the same API and with the same rights;
// Airflow's own form has no address that could be opened.

import { clause, h, name, told } from "./dom.js";
import { base, link } from "./links.js";
import { serverNow, zone } from "./time.js";

const address = (dag, rest) => `${base}/api/v2/dags/${encodeURIComponent(dag)}/${rest}`;

const PATIENCE = 30_000;

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const WHY = {
  401: "you are logged out of Airflow: log in in another tab of the browser, then press Trigger again",
  403: "Airflow does not let you do this",
};

/** What Airflow says against a request, in words. */
function against({ detail }, status) {
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) return detail.map((each) => [(each.loc ?? []).at(-1), each.msg].filter(Boolean).join(": ")).join("; ");
  return `Airflow answers with an error (${status})`;
}

async function airflow(url, options) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(PATIENCE), ...options });
  } catch {
    throw new Refused(0, "the API server cannot be reached, or does not answer");
  }
  const said = await answer.json().catch(() => null);
  if (answer.ok && said) return said;
  if (answer.ok) throw new Refused(0, "something else than Airflow answers, such as a proxy or a login page");
  throw new Refused(answer.status, WHY[answer.status] ?? against(said ?? {}, answer.status));
}

/** An id of a run of which there is one, however often it is asked for. */
function runId() {
  const random = [...crypto.getRandomValues(new Uint8Array(4))].map((each) => each.toString(16).padStart(2, "0")).join("");
  return `manual__${new Date(serverNow()).toISOString().slice(0, 19)}+00:00__page_${random}`;
}

const kinds = (schema) => [schema.type ?? "string"].flat();

/** A date and a time of the person's own time zone. */
function moment(common) {
  const box = h("input", { type: "datetime-local", ...common });
  return [box, h("p", { class: "dim" }, `In your time zone, ${zone}.`), () => (box.value ? new Date(box.value).toISOString() : null)];
}

/** What is filled in for a parameter of a DAG: the element, maybe a word on it, and how to read it. */
function input(schema, now, common) {
  const types = kinds(schema);
  const empty = types.includes("null") ? null : "";
  if (schema.enum) {
    const word = (each) => (each === null ? "none" : String(schema.values_display?.[each] ?? each));
    const list = h("select", common, schema.enum.map((each) => h("option", { value: each === null ? "" : String(each), selected: each === now }, word(each))));
    return [list, null, () => schema.enum[list.selectedIndex]];
  }
  if (types.includes("array")) {
    const lines = h("textarea", { rows: 4, ...common });
    lines.value = (now ?? []).join("\n");
    return [lines, null, () => lines.value.split("\n").map((each) => each.trim()).filter(Boolean)];
  }
  if (schema.format === "date-time") return moment(common);
  if (types.includes("integer") || types.includes("number")) {
    const box = h("input", { type: "number", min: schema.minimum, step: types.includes("number") ? "any" : null, ...common, required: empty === "" });
    box.value = now ?? "";
    return [box, null, () => (box.value === "" ? null : Number(box.value))];
  }
  const box = h("input", { type: "text", autocomplete: "off", pattern: common.required ? ".*\\S.*" : null, title: common.required ? "some words" : null, ...common });
  box.value = now ?? "";
  return [box, null, () => box.value.trim() || empty];
}

/** A field for a parameter of a DAG, and how to read it. What makes it do what the title says is fixed. */
function field(param, { schema = {}, description, value }, { conf, needs = [] }) {
  const id = `field-${param}`;
  const about = schema.description ?? description;
  const help = about ? h("p", { class: "dim", id: `${id}-help` }, about) : null;
  const now = param in conf ? conf[param] : value;
  const fixed = param in conf && (typeof now === "boolean" || Boolean(schema.enum));
  const unfold = (event) => event.target.closest("details")?.setAttribute("open", ""); // else nobody sees what is wrong
  const common = { id, name: param, disabled: fixed, required: needs.includes(param), oninvalid: unfold, "aria-describedby": about ? `${id}-help` : null };
  const title = h("label", { for: id }, schema.title ?? param, needs.includes(param) ? h("span", { class: "dim" }, " (needed)") : "");
  if (kinds(schema).includes("boolean")) {
    const box = h("input", { type: "checkbox", ...common, required: false });
    box.checked = Boolean(now);
    return [h("div", { class: "field tick" }, box, title, help), () => box.checked];
  }
  const [element, word, read] = input(fixed ? { ...schema, enum: [now] } : schema, now, common);
  return [h("div", { class: "field" }, title, element, word, help), read];
}

function fields(params, action) {
  const all = Object.entries(params).map(([key, param]) => {
    const [element, read] = field(key, param, action);
    return { key, element, read, first: key in action.conf || key === "reason" || action.needs?.includes(key) };
  });
  const rest = all.filter((each) => !each.first);
  return {
    elements: [
      ...all.filter((each) => each.first).map((each) => each.element),
      rest.length ? h("details", {}, h("summary", {}, "More options"), rest.map((each) => each.element)) : "",
    ],
    read: () => ({ ...action.conf, ...Object.fromEntries(all.map((each) => [each.key, each.read()])) }),
  };
}

/** What a person says yes to before production is moved. */
const consent = (action, pair) => h("div", { class: "field tick consent" }, h("input", { type: "checkbox", id: "field-consent", required: true }),
  h("label", { for: "field-consent" }, "Yes, I want this now for the pair ", name(pair), `: ${action.title}`));

function started(action, run, waits) {
  const url = `dags/${encodeURIComponent(action.dag_id)}/runs/${encodeURIComponent(run)}`;
  const what = waits ? "It waits, because the DAG is paused in Airflow." : "This page shows what comes of it.";
  return [h("p", { role: "status" }, `Started. ${what}`), h("p", {}, link(url, { class: "button" }, "Open the run"))];
}

/** Open the form of an action in front of the page. */
export async function openForm(action, pair) {
  const run = runId();
  const problem = h("p", { class: "error", role: "alert", hidden: true });
  const inner = h("div", {}, h("p", { class: "loading" }, "Loading …"));
  const go = h("button", { type: "submit", class: "button go", disabled: true }, "Trigger");
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
  let form = null;
  let paused = false;
  let doubtful = false; // an answer was lost, so the run may be there

  const fail = (message) => {
    problem.hidden = false;
    problem.textContent = told(message);
  };

  function done() {
    inner.replaceChildren(...started(action, run, paused));
    go.remove();
    close.focus();
  }

  async function submit(event) {
    event.preventDefault();
    if (go.disabled || !form) return;
    go.disabled = true;
    problem.hidden = true;
    try {
      const body = JSON.stringify({ dag_run_id: run, logical_date: null, conf: form.read() });
      await airflow(address(action.dag_id, "dagRuns"), { method: "POST", headers: { "Content-Type": "application/json" }, body });
      done();
    } catch (refused) {
      if (refused.status === 409 && doubtful) return done(); // by the request whose answer was lost
      doubtful ||= refused.status === 0 || refused.status >= 500;
      fail(doubtful ? `${told(refused.message)} It is not known whether the run was started. Press Trigger again: it starts no second one` : refused.message);
      go.disabled = false;
    }
  }

  function closed() {
    window.removeEventListener("hashchange", leave);
    dialog.remove();
    const opener = [...document.querySelectorAll("[data-focus]")].find((each) => each.dataset.focus === `what-${action.id}`);
    (opener ?? document.getElementById("view")).focus();
  }

  const dialog = h("dialog", { "aria-labelledby": "form-title", onclose: closed },
    h("form", { onsubmit: submit }, h("h2", { id: "form-title" }, `${action.title}: `, name(pair)), h("p", {}, told(action.what)),
      action.fill ? h("p", { class: "dim" }, `What counts here: ${clause(action.fill)}`) : "",
      inner, problem, h("p", { class: "ends" }, go, close, " ", link(action.url, { class: "dim" }, "Open the DAG instead"))));
  const leave = () => dialog.close();
  window.addEventListener("hashchange", leave);
  document.body.append(dialog);
  dialog.showModal();
  try {
    const dag = await airflow(address(action.dag_id, "details"));
    if (!dag.params) throw new Refused(0, "something else than Airflow answers, such as a proxy or a login page");
    form = fields(dag.params, action);
    paused = Boolean(dag.is_paused);
    inner.replaceChildren(...form.elements, action.moves ? consent(action, pair) : "",
      paused ? h("p", { class: "bad" }, clause(`${action.dag_id} is paused in Airflow: the run waits until somebody unpauses it`)) : "");
    go.disabled = false;
    inner.querySelector(":is(input[type=text], textarea, select):not(:disabled)")?.focus();
  } catch (refused) {
    inner.replaceChildren();
    fail(`${told(refused.message)} The form cannot be shown: close it and open it again`);
  }
}

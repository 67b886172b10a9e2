// The form of a DAG, filled in. It starts the DAG as Airflow's own form does, by the same API and with the same rights;
// Airflow's own form has no address that could be opened.

import { clause, h, told } from "./dom.js";
import { base, link } from "./links.js";

const address = (dag, rest) => `${base}/api/v2/dags/${encodeURIComponent(dag)}/${rest}`;

async function airflow(url, options) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Error("the API server cannot be reached");
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const why = { 401: "you are logged out of Airflow", 403: "Airflow does not let you do this" }[answer.status];
  throw new Error(why ?? (typeof said.detail === "string" ? said.detail : JSON.stringify(said.detail ?? answer.status)));
}

const kinds = (schema) => [schema.type ?? "string"].flat();

/** A field for a parameter of a DAG: its label, and how to read what was filled in. */
function field(name, { schema = {}, description, value }, filled, required) {
  const id = `field-${name}`;
  const types = kinds(schema);
  const now = filled === undefined ? value : filled;
  const about = schema.description ?? description;
  const help = about ? h("p", { class: "dim", id: `${id}-help` }, about) : null;
  const common = { id, name, required: required && !kinds(schema).includes("boolean"), "aria-describedby": about ? `${id}-help` : null };
  const title = h("label", { for: id }, schema.title ?? name);
  if (types.includes("boolean")) {
    const box = h("input", { type: "checkbox", ...common });
    box.checked = Boolean(now);
    return [h("div", { class: "field tick" }, box, title, help), () => box.checked];
  }
  if (schema.enum) {
    const list = h("select", common, schema.enum.map((each) => h("option", { value: String(each ?? ""), selected: each === now }, each === null ? "none" : String(each))));
    return [h("div", { class: "field" }, title, list, help), () => schema.enum[list.selectedIndex]];
  }
  if (types.includes("array")) {
    const lines = h("textarea", { rows: 4, ...common });
    lines.value = (now ?? []).join("\n");
    return [h("div", { class: "field" }, title, lines, help), () => lines.value.split("\n").map((each) => each.trim()).filter(Boolean)];
  }
  const number = types.includes("integer") || types.includes("number");
  const box = h("input", { type: number ? "number" : "text", autocomplete: "off", step: types.includes("number") ? "any" : null, ...common });
  box.value = now ?? "";
  const read = () => (box.value === "" && types.includes("null") ? null : number ? Number(box.value) : box.value);
  return [h("div", { class: "field" }, title, box, help), read];
}

function fields(params, { conf, needs = [] }) {
  const all = Object.entries(params).map(([name, param]) => {
    const [element, read] = field(name, param, conf[name], needs.includes(name));
    return { name, element, read, first: name in conf || name === "reason" };
  });
  const rest = all.filter((each) => !each.first);
  return {
    elements: [
      ...all.filter((each) => each.first).map((each) => each.element),
      rest.length ? h("details", {}, h("summary", {}, "More options"), rest.map((each) => each.element)) : "",
    ],
    read: () => Object.fromEntries(all.map((each) => [each.name, each.read()])),
  };
}

function started(action, run) {
  const url = `dags/${encodeURIComponent(action.dag_id)}/runs/${encodeURIComponent(run)}`;
  return [h("p", {}, "Started. This page shows what comes of it."), h("p", {}, link(url, { class: "button" }, "Open the run"))];
}

/** Open the form of an action in front of the page. */
export async function openForm(action) {
  const problem = h("p", { class: "error", role: "alert", hidden: true });
  const inner = h("div", {}, h("p", { class: "loading" }, "Loading …"));
  const go = h("button", { type: "submit", class: "button go", disabled: true }, "Trigger");
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
  let read = () => ({});

  const fail = (error) => {
    problem.hidden = false;
    problem.textContent = told(error.message);
  };

  async function submit(event) {
    event.preventDefault();
    go.disabled = true;
    problem.hidden = true;
    try {
      const body = JSON.stringify({ logical_date: null, conf: read() });
      const run = await airflow(address(action.dag_id, "dagRuns"), { method: "POST", headers: { "Content-Type": "application/json" }, body });
      inner.replaceChildren(...started(action, run.dag_run_id));
      go.remove();
      close.focus();
    } catch (error) {
      fail(error);
      go.disabled = false;
    }
  }

  const dialog = h("dialog", { "aria-labelledby": "form-title", onclose: () => dialog.remove() },
    h("form", { onsubmit: submit }, h("h2", { id: "form-title" }, action.title), h("p", {}, told(action.what)),
      action.fill ? h("p", { class: "dim" }, `What counts here: ${clause(action.fill)}`) : "",
      problem, inner, h("p", { class: "ends" }, go, close, " ", link(action.url, { class: "dim" }, "Open the DAG instead"))));
  document.body.append(dialog);
  dialog.showModal();
  try {
    const dag = await airflow(address(action.dag_id, "details"));
    const form = fields(dag.params ?? {}, action);
    read = form.read;
    inner.replaceChildren(...form.elements, dag.is_paused ? h("p", { class: "bad" }, clause(`${action.dag_id} is paused in Airflow: the run waits until somebody unpauses it`)) : "");
    go.disabled = false;
    inner.querySelector("input[type=text], textarea")?.focus();
  } catch (error) {
    inner.replaceChildren();
    fail(error);
  }
}

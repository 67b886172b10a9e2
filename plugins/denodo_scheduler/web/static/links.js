// Links that leave this page. Inside Airflow's sandboxed frame they are followed by an anchor of Airflow's own document.

import { h } from "./dom.js";

/** The path under which Airflow is served; empty where it has a host of its own. */
export const base = window.location.pathname.split("/denodo-ha/")[0];

function outside() {
  try {
    return window.parent !== window && window.parent.document.body ? window.parent.document : null;
  } catch {
    return null;
  }
}

/** The address of something in this Airflow; null if it would lead elsewhere. */
export function inside(url) {
  const address = new URL(`${base}/${String(url).replace(/^\/+/, "")}`, window.location.origin);
  return address.origin === window.location.origin ? address.href : null;
}

function follow(click) {
  const airflow = outside();
  if (!airflow) return;
  click.preventDefault();
  const anchor = airflow.createElement("a");
  anchor.href = click.currentTarget.href;
  if (click.currentTarget.target || click.ctrlKey || click.metaKey || click.shiftKey) {
    anchor.target = "_blank";
    anchor.rel = "noopener";
  }
  airflow.body.append(anchor);
  anchor.click();
  anchor.remove();
}

/** A link to a page of Airflow or to the documentation; `fresh`: in a tab of its own. */
export function link(url, attributes, ...children) {
  const { fresh, ...others } = attributes;
  const href = url ? inside(url) : null;
  if (!href) return h("span", others, ...children);
  const tab = fresh ? { target: "_blank", rel: "noopener" } : {};
  return h("a", { href, onclick: follow, ...tab, ...others }, ...children);
}

/** Where to log in again, and come back to what is seen now. */
export function loginLink() {
  const here = outside()?.location.href ?? window.location.href;
  return link(`api/v2/auth/login?next=${encodeURIComponent(here)}`, { class: "button" }, "Log in again");
}

// Small parts that several views show.

import { h } from "./dom.js";
import { age, old, span } from "./time.js";

const LEVELS = {
  OK: ["ok", "✓", "OK"],
  WARNING: ["warning", "!", "Warning"],
  CRITICAL: ["critical", "✕", "Critical"],
  UNKNOWN: ["unknown", "?", "Unknown"],
  NOTICE: ["notice", "i", "Notice"],
};

/** A level as a sign and a word, never as a colour alone. */
export function badge(level) {
  const [look, sign, word] = LEVELS[String(level).toUpperCase()] ?? LEVELS.UNKNOWN;
  return h("span", { class: `badge ${look}` }, h("span", { class: "sign", "aria-hidden": "true" }, sign), word);
}

export const lookOf = (level) => (LEVELS[String(level).toUpperCase()] ?? LEVELS.UNKNOWN)[0];
export const words = (code) => (code ? String(code).replaceAll("_", " ") : "unknown");
export const other = (role) => (role === "master" ? "slave" : "master");

/** Whether a snapshot is older than its limit. */
export const tooOld = (snapshot) => Boolean(snapshot?.limit && age(snapshot.taken) > snapshot.limit);

/** How old the snapshot is, and how old it may be. */
export function snapshotAge(snapshot) {
  if (!snapshot?.taken) return h("span", { class: "bad" }, "no snapshot");
  const limit = snapshot.limit ? `of ${span(snapshot.limit)} allowed` : "no limit";
  return h("span", { class: tooOld(snapshot) ? "bad" : null }, old(snapshot.taken), " ",
    h("span", { class: "dim" }, tooOld(snapshot) ? `too old: ${span(snapshot.limit)} allowed` : limit));
}

/** A section with a heading. */
export const section = (title, attributes, ...children) =>
  h("section", { "aria-label": title, ...attributes }, h("h2", {}, title), ...children);

/** A message in place of what cannot be shown. */
export const instead = (text, ...more) => h("p", { class: "instead" }, text, ...more);

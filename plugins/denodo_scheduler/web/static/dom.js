// Elements are made here and nowhere else: text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element; attributes that begin with "on" are listeners, those that are null or false are left out. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** The same in SVG. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** A name that somebody else has chosen: it keeps its own direction, and breaks where it is too long. */
export const name = (text) => h("bdi", { class: "name" }, text ?? "");

/** "1 job", "3 jobs". */
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

export const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

/** The server's clause with its full stop. */
export const clause = (text) => (!text || /[.!?…]$/.test(text) ? (text ?? "") : `${text}.`);

/** The server's clause as a sentence of its own. */
export const told = (text) => (text ? clause(text.charAt(0).toUpperCase() + text.slice(1)) : "");

function focusIn(parent) {
  const focused = document.activeElement;
  return focused && parent.contains(focused) ? focused.closest("[data-focus]")?.dataset.focus : null;
}

/**
 * Bring the children of `parent` in line with `items`. A child whose item has not changed is left as it is, with
 * its focus and whatever was unfolded in it.
 */
export function keep(parent, items, keyOf, build) {
  const focused = focusIn(parent);
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const key = String(keyOf(item));
    const said = JSON.stringify(item);
    let child = old.get(key);
    if (!child || child.said !== said) {
      const made = build(item);
      made.dataset.key = key;
      made.said = said;
      const open = new Set([...(child?.querySelectorAll("details[open]") ?? [])].map((each) => each.dataset.unfolds));
      for (const each of made.querySelectorAll("details[data-unfolds]")) each.open = open.has(each.dataset.unfolds);
      child?.replaceWith(made);
      child = made;
    }
    old.delete(key);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  for (const child of old.values()) child.remove();
  if (focused && focusIn(parent) !== focused) {
    [...parent.querySelectorAll("[data-focus]")].find((each) => each.dataset.focus === focused)?.focus();
  }
}

/** As `keep`, for parts that each have a builder: `parts` are [key, what it shows, build]. */
export function keepParts(parent, parts) {
  const builders = new Map(parts.map(([key, , build]) => [key, build]));
  keep(parent, parts.map(([key, shown]) => [key, shown]), ([key]) => key, ([key, shown]) => builders.get(key)(shown));
}

/** Say something to a screen reader, once. */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  if (announcer.textContent !== text) announcer.textContent = text;
}

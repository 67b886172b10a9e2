// What a tab asks for by itself, now and again while it is open and seen.

import { get } from "./api.js";
import { instead } from "./parts.js";

const INTERVAL = 30_000;

/** Ask for `path` and tell `told` what differs; the element `problem` says why there is no answer. */
export function repeat(path, problem, told) {
  let timer;
  let ended = false;
  let last;
  async function once() {
    clearTimeout(timer);
    try {
      const said = document.hidden ? last : await get(path);
      if (ended) return;
      problem.replaceChildren();
      if (said && said !== last) told((last = said));
    } catch (failure) {
      if (!ended) problem.replaceChildren(instead(`This cannot be brought up to date: ${failure.message}. It is tried again by itself.`));
    }
    if (!ended) timer = setTimeout(once, last ? INTERVAL : INTERVAL / 6);
  }
  once();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

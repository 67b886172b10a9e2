// Requests to the API, and what an answer is worth that did not come.

import { base } from "./links.js";
import { correctClock, serverNow, setClock } from "./time.js";

const PATIENCE = 20_000;
const INTERVAL = 5_000;
const known = new Map(); // the last answer by address, with its ETag

export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const WHY = {
  401: "you are logged out of Airflow",
  403: "Airflow does not let you see this",
  404: "Airflow does not know this, or does not let you see it",
};

async function ask(address, headers) {
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    return await fetch(address, { headers, cache: "no-store", credentials: "same-origin", signal });
  } catch (error) {
    const slow = error.name === "TimeoutError";
    throw new Failure(0, slow ? `the API server has not answered for ${PATIENCE / 1000} s` : "the API server cannot be reached");
  }
}

/** The answer of the API to `path`, the same object as before where it has not changed. */
export async function get(path, { remember = true } = {}) {
  const address = `${base}/denodo-ha/api/${path}`;
  const before = known.get(address);
  const answer = await ask(address, before ? { "If-None-Match": before.tag } : {});
  if (answer.status === 304 && before) {
    correctClock(answer.headers.get("Date"));
    return before.said;
  }
  if (!answer.ok) throw new Failure(answer.status, WHY[answer.status] ?? `the API server answers with an error (${answer.status})`);
  let said;
  try {
    said = await answer.json();
  } catch {
    throw new Failure(answer.status, "something else than this page's API answers, such as a proxy or a login page");
  }
  if (typeof said.at === "string") setClock(said.at);
  const tag = answer.headers.get("ETag");
  if (tag && remember) known.set(address, { tag, said });
  return said;
}

export const pairPath = (pair, rest = "") => `pairs/${encodeURIComponent(pair)}${rest}`;

/**
 * Ask for `path` again and again while the page is seen.
 *
 * @param told called with each answer, since what is shown depends on the time as well
 * @param state called after each request with {since, failure}: when the last answer came, and why there is none now
 * @returns a function that ends it
 */
export function poll(path, told, state) {
  let timer;
  let ended = false;
  let busy = false;
  let since = null;

  async function once() {
    clearTimeout(timer);
    if (ended || busy || document.hidden) return;
    busy = true;
    try {
      const said = await get(path);
      if (ended) return;
      since = new Date(serverNow()).toISOString();
      told(said);
      state({ since, failure: null });
    } catch (failure) {
      if (!(failure instanceof Failure)) console.error(failure);
      if (!ended) state({ since, failure });
    } finally {
      busy = false;
      if (!ended) timer = setTimeout(once, INTERVAL);
    }
  }

  document.addEventListener("visibilitychange", once);
  once();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", once);
  };
}

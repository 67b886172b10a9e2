// What an operator asks first: who runs the jobs, since when, why, is the other server ready, and what is to be done.

import { h, told } from "./dom.js";
import { other } from "./parts.js";
import { longSince, old, when } from "./time.js";

const HEARD = ["up", "control_path_broken"];

const server = (role) => h("strong", { class: `role ${role}` }, role);

const bad = (...children) => h("span", { class: "bad" }, " ", ...children);

/** Whether the active server runs the jobs: by the phase, what was last heard of it, and the counts as they were read. */
function running(said) {
  const active = said.servers?.[said.active];
  const passive = said.servers?.[other(said.active)];
  if (said.phase === "failing_over") return bad("A failover to the slave is under way.");
  if (said.phase === "failing_back") return bad("The jobs are being moved back to the master.");
  if (said.active === "master" && said.verdict === "down") return bad("The master is silent on both paths: most likely its jobs do not run.");
  if (passive?.enabled > 0) {
    return bad(`Jobs are enabled on both servers: ${active?.enabled ?? "an unknown number"} on the ${said.active}, ${passive.enabled} on the ${other(said.active)}.`);
  }
  if (active?.enabled === 0) return bad("No job is enabled on it, so nothing runs.");
  if (said.active === "master" && !HEARD.includes(said.verdict)) return bad("Whether its jobs run cannot be seen from here.");
  return Number.isInteger(active?.enabled) ? ` It runs the jobs: ${active.enabled} of ${active.jobs} are enabled on it.` : " It runs the jobs.";
}

/** Which server runs the jobs, and since when, in two sentences. */
export function lead(said) {
  if (!said.active) return h("span", {}, "It is not known which server runs the jobs.");
  return h("span", {}, "The ", server(said.active), " is the active server",
    said.since ? [", for ", old(said.since, { focus: true })] : "", ".", running(said),
    said.looked && longSince(said.looked) ? bad("This was seen ", when(said.looked), ", and nobody has looked since.") : "");
}

function answers({ active, because, story = {} }) {
  const passive = active ? `Is the ${other(active)} ready to take over?` : "Is the other server ready?";
  return [
    ["What is going on?", story.now],
    ["What can I do?", story.you, "you"],
    [passive, story.ready],
    ["What does that rest on?", story.why],
    [active ? `Why is it the ${active}?` : "Why?", because],
    ["What does the tool do next?", story.tool],
  ].filter(([, answer]) => answer);
}

/** The questions with their answers. */
export const story = (said) => h("dl", { class: "story" }, answers(said).map(([question, answer, look]) =>
  h("div", { class: look }, h("dt", {}, question), h("dd", {}, told(answer)))));

// The tab "Now": the story, the drawing, what was found, what can be done, and the last events.

import { actions } from "./actions.js";
import { get, pairPath } from "./api.js";
import { clause, count, h, keepParts, name, told } from "./dom.js";
import { drawing } from "./drawing.js";
import { link } from "./links.js";
import { badge, section, tooOld, words } from "./parts.js";
import { story } from "./story.js";
import { dayAndTime, longSince, when } from "./time.js";

function findings({ findings: all, runbook }) {
  const list = (all ?? []).filter((each) => each.level !== "OK");
  return section("Findings", { class: "card" },
    list.length
      ? h("ul", { class: "findings" }, list.map((each) => h("li", {}, badge(each.level), h("div", {},
        h("p", {}, told(each.text)),
        each.next_step ? h("p", { class: "next" }, h("strong", {}, "Next: "), clause(each.next_step)) : null))))
      : h("p", {}, "Nothing is wrong."),
    list.length && runbook ? h("p", {}, link(runbook, { fresh: true, class: "button", "data-focus": "runbook" }, "Runbook for this"), h("span", { class: "dim" }, " opens in a tab of its own")) : null);
}

const fact = (title, ...children) => h("div", {}, h("dt", {}, title), h("dd", {}, ...children));

function state({ epoch, phase, verdict, looked, operation, paused, halted, acknowledged, check, runs, sync }) {
  return section("State", { class: "card" }, h("dl", { class: "facts" },
    fact("Phase", words(phase), epoch ? `, epoch ${epoch}` : ""),
    fact("Verdict about the master", words(verdict), ", looked ", when(looked, { focus: true })),
    operation ? fact("Operation under way", operation.text ?? `${words(operation.kind)} ${operation.id ?? ""}, ${words(operation.step)}`) : null,
    halted ? fact("Halted", when(halted.since), ` by ${halted.by ?? "unknown"}: `, clause(halted.reason)) : null,
    paused ? fact("Paused", when(paused.since), ` by ${paused.by ?? "unknown"}`, paused.until ? [", until ", dayAndTime(paused.until)] : "", ": ", clause(paused.reason)) : null,
    acknowledged === false ? fact("Last failover", "not acknowledged yet") : null,
    sync?.problem ? fact("No sync has succeeded", "since ", when(sync.problem.since), ": ", clause(sync.problem.what), " ", told(sync.problem.next_step)) : null,
    check ? fact("Last check of readiness", badge(check.level), " ", when(check.at), ": ", clause(check.summary)) : null,
    runs?.length ? fact("Runs under way", h("ul", {}, runs.map((run) => h("li", {}, link(run.url, { "data-focus": run.run_id }, run.dag_id), ` ${words(run.state)}, `, when(run.since))))) : null));
}

function pending({ list, number, doubts, doubtsCount }) {
  const jobs = (list ?? []).map((each) => h("tr", {}, h("th", { scope: "row" }, name(each.job)), h("td", {}, told(each.why)), h("td", {}, each.next_step ? told(each.next_step) : "")));
  const rest = (doubts ?? []).map((each) => h("tr", {}, h("th", { scope: "row" }, name(each.name)), h("td", {}, told(each.why)), h("td", {}, `about the ${each.role}`)));
  const more = number > jobs.length ? h("p", { class: "dim" }, `The first ${jobs.length} of ${number} pending jobs are shown; the tab Jobs has all of them.`) : null;
  const others = doubtsCount > rest.length ? h("p", { class: "dim" }, `The first ${rest.length} of ${doubtsCount} doubts are shown; denodo-ha status --verbose has all of them.`) : null;
  return section("What is not in step", { class: "card wide" }, h("p", {}, `${count(number ?? 0, "job")} pending, ${count(doubtsCount ?? rest.length, "doubt")}.`),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Pending jobs and doubts" }, h("table", { class: "plain" },
      h("thead", {}, h("tr", {}, ["Job or doubt", "Why", "Next"].map((each) => h("th", { scope: "col" }, each)))), h("tbody", {}, jobs, rest))), more, others);
}

function last({ pair, events }) {
  return section("Last events", { class: "card wide" }, events.length
    ? h("ol", { class: "last" }, events.map((each) => h("li", {}, badge(each.level), h("span", {}, when(each.at), ": ", each.text))))
    : h("p", {}, "There is no event yet."),
  h("p", {}, h("a", { href: `#/pair/${encodeURIComponent(pair)}/timeline`, "data-focus": "timeline" }, "All events")));
}

function documents({ dags, docs }) {
  return section("DAGs and documentation", { class: "card wide" }, h("ul", { class: "dags" },
    (dags ?? []).map((each) => h("li", {}, link(each.url, { "data-focus": each.url }, each.title))),
    docs ? h("li", {}, link(docs, { fresh: true, "data-focus": "docs" }, "Documentation")) : null));
}

/** Show the tab in `place`; `update` is told each answer of the API about the pair. */
export function overview(place, pair) {
  const narrow = window.matchMedia("(max-width: 640px)");
  let said = null;
  let events = null;
  let heard = null;

  async function ask(latest) {
    if (events && heard === latest) return;
    try {
      events = (await get(pairPath(pair, "/events?limit=5"))).events.slice(0, 5);
      heard = latest;
      draw();
    } catch {
      // The line above the page tells why; it is asked for again after the next answer about the pair.
    }
  }

  function draw() {
    const { story: texts, active, because, sync, doubts, doubts_count: doubtsCount, links, findings: found, actions: buttons } = said;
    const { pending: list, pending_count: number } = sync ?? {};
    const { epoch, phase, verdict, looked, operation, paused, halted, acknowledged, check, runs, servers, paths, suggested } = said;
    keepParts(place, [
      ["story", { active, because, story: texts }, (shown) => section("In short", { class: "card" }, story(shown))],
      ["drawing", { active, epoch, servers, paths, sync: { ...sync, pending: null, old: tooOld(sync) }, narrow: narrow.matches, long: (paths ?? []).map((each) => longSince(each.at)) }, drawing],
      ["findings", { findings: found, runbook: links?.runbook }, findings],
      ["state", { epoch, phase, verdict, looked, operation, paused, halted, acknowledged, check, runs, sync: { problem: sync?.problem } }, state],
      ["actions", { all: buttons ?? [], suggested: suggested ?? [] }, ({ all, suggested: now }) => section("What you can do", { class: "card wide" },
        h("p", { class: "dim" }, "Each button opens the form of a DAG, filled in. Nothing happens before you press Trigger there."),
        all.some((each) => each.allowed) ? "" : h("p", {}, "You may look at this pair, and you may not trigger its DAGs."), actions(all, now, pair))],
      ...(number || doubts?.length ? [["pending", { list, number, doubts, doubtsCount }, pending]] : []),
      ...(events ? [["last", { pair, events }, last]] : []),
      ["links", { dags: links?.dags, docs: links?.docs }, documents],
    ]);
  }

  const redraw = () => said && draw();
  narrow.addEventListener("change", redraw);
  return {
    update(answer) {
      said = answer;
      draw();
      ask(JSON.stringify(said.last_event ?? null));
    },
    stop: () => narrow.removeEventListener("change", redraw),
  };
}

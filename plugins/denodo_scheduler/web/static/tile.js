// A tile on Airflow's Home: how many pairs are in order, and the worst of the others. Airflow loads it with its own React.

(() => {
  const { createElement: e, useEffect, useState } = globalThis.React;
  const MOST = 5;
  const INTERVAL = 30_000;
  const SIGNS = { OK: "✓", WARNING: "!", CRITICAL: "✕", UNKNOWN: "?" };
  const base = new URL(document.baseURI).pathname.replace(/\/$/, "");
  const page = (pair) => `${base}/dags/denodo_scheduler_failover__${encodeURIComponent(pair)}/plugin/denodo-pair`;
  const box = { border: "1px solid var(--chakra-colors-border, #8884)", borderRadius: 8, padding: "12px 16px", margin: "0 0 12px" };
  const link = { textDecoration: "underline", fontWeight: 600 };

  const line = (row) => e("li", { key: row.pair, style: { marginTop: 6, overflowWrap: "anywhere" } },
    e("strong", {}, `${SIGNS[row.level] ?? "?"} ${row.level.toLowerCase()} `),
    e("a", { href: page(row.pair), style: link }, e("bdi", {}, row.pair)), `: ${row.what}`);

  function said(pairs) {
    const wrong = pairs.filter((row) => row.level !== "OK");
    const well = `${pairs.length - wrong.length} of ${pairs.length} ${pairs.length === 1 ? "pair is" : "pairs are"} in order. `;
    return [
      e("p", { key: "all" }, well, e("a", { href: `${base}/plugin/denodo-pairs`, style: link }, "See all pairs")),
      e("ul", { key: "wrong", style: { listStyle: "none" } }, wrong.slice(0, MOST).map(line)),
      wrong.length > MOST ? e("p", { key: "more" }, `and ${wrong.length - MOST} more`) : null,
    ];
  }

  function Tile() {
    const [state, set] = useState(null);
    useEffect(() => {
      let ended = false;
      const look = async () => {
        if (document.hidden) return;
        try {
          const answer = await fetch(`${base}/denodo-ha/api/pairs`, { credentials: "same-origin" });
          if (!answer.ok) throw new Error(String(answer.status));
          const { pairs } = await answer.json();
          if (!ended) set({ pairs });
        } catch {
          if (!ended) set({ failed: true });
        }
      };
      look();
      const timer = setInterval(look, INTERVAL);
      return () => { ended = true; clearInterval(timer); };
    }, []);
    if (!state || (state.pairs && !state.pairs.length)) return null;
    return e("section", { style: box, "aria-label": "Denodo pairs" }, e("h2", { style: { fontWeight: 700 } }, "Denodo pairs"),
      state.failed ? e("p", {}, "How the pairs are cannot be read at the moment.") : said(state.pairs));
  }

  globalThis.DenodoPairsTile = Tile;
  globalThis.AirflowPlugin = Tile;
})();

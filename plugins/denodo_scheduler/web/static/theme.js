// Light or dark as Airflow is; outside of Airflow as the system is.

function airflow() {
  try {
    return window.parent === window ? null : window.parent.document.documentElement;
  } catch {
    return null; // framed by another origin
  }
}

export function followTheme() {
  const set = (dark) => document.documentElement.classList.toggle("dark", dark);
  const outer = airflow();
  if (outer) {
    const look = () => set(outer.classList.contains("dark"));
    new MutationObserver(look).observe(outer, { attributes: true, attributeFilter: ["class"] });
    look();
  } else {
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", () => set(system.matches));
    set(system.matches);
  }
}

"use strict";
// Everything can be seen without this script. It adds tabs, tooltips, lines that are switched off, sorting and filters.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Tabs: arrows go from one to the next, as readers of screens expect.
const tabs = all("[role=tab]");
function choose(tab, focus) {
  for (const other of tabs) {
    other.setAttribute("aria-selected", other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = other !== tab;
  }
  if (focus) tab.focus();
}
tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => choose(tab, false));
  tab.addEventListener("keydown", (event) => {
    const next = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    choose(tabs[(next + tabs.length) % tabs.length], true);
  });
});
if (tabs.length > 0) choose(tabs[0], false);

// Shows a formula of a section in the place of the one that is shown.
function show(section, number) {
  const shown = document.getElementById(`${section.id}f${number}`);
  if (!shown) return;
  for (const formula of all(".formula", section)) formula.hidden = formula !== shown;
  for (const row of all("tr[data-formula]", section)) {
    if (row.dataset.formula === String(number)) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}
for (const button of all(".show")) {
  button.addEventListener("click", () => show(button.closest("section"), button.closest("tr").dataset.formula));
}

// Charts: the nearest point is told, to a pointer and to the keys.
for (const chart of all(".chart")) {
  const plot = chart.querySelector(".plot"), svg = plot.querySelector("svg"), tip = plot.querySelector(".tip");
  const series = JSON.parse(chart.querySelector("script").textContent);
  const label = plot.getAttribute("aria-label");
  const hidden = new Set();
  const ring = document.createElementNS(svg.namespaceURI, "circle");
  ring.setAttribute("class", "ring");
  ring.setAttribute("r", 8);
  let at = null; // the series and the point that are told
  plot.setAttribute("aria-describedby", "keys");
  const scale = () => plot.clientWidth / svg.viewBox.baseVal.width;
  function tell(found) {
    at = found;
    if (!found) {
      ring.remove();
      tip.hidden = true;
      plot.setAttribute("aria-label", label);
      return;
    }
    const [x, y, text] = series[found[0]].points[found[1]];
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    svg.append(ring);
    tip.textContent = text;
    tip.hidden = false;
    const left = x * scale() + 14, top = y * scale() + 14;
    tip.style.left = `${Math.max(0, left + tip.offsetWidth > plot.clientWidth ? left - tip.offsetWidth - 28 : left)}px`;
    tip.style.top = `${top + tip.offsetHeight > plot.clientHeight ? Math.max(0, top - tip.offsetHeight - 28) : top}px`;
  }
  function nearest(event) {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / scale(), y = (event.clientY - box.top) / scale();
    let found = null, least = 30 * 30;
    series.forEach(({ points }, index) => {
      if (hidden.has(index)) return;
      points.forEach(([px, py], number) => {
        const distance = (px - x) ** 2 + (py - y) ** 2;
        if (distance < least) [found, least] = [[index, number], distance];
      });
    });
    return found;
  }
  plot.addEventListener("pointermove", (event) => tell(nearest(event)));
  plot.addEventListener("pointerleave", () => tell(null));
  plot.addEventListener("blur", () => tell(null));
  function choose_formula(found) {
    const formula = found && series[found[0]].points[found[1]][3];
    if (formula !== undefined && formula !== null) show(chart.closest("section"), formula);
  }
  plot.addEventListener("click", (event) => choose_formula(nearest(event)));
  plot.addEventListener("keydown", (event) => {
    const shown = series.map((_, index) => index).filter((index) => !hidden.has(index) && series[index].points.length > 0);
    if (event.key === "Escape") return tell(null);
    if (event.key === "Enter") return choose_formula(at);
    const along = { ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? 0, across = { ArrowDown: 1, ArrowUp: -1 }[event.key] ?? 0;
    if ((along === 0 && across === 0) || shown.length === 0) return;
    event.preventDefault();
    let [index, number] = at ?? [shown[0], along < 0 ? series[shown[0]].points.length : -1];
    if (across !== 0) index = shown[(shown.indexOf(index) + across + shown.length) % shown.length];
    const length = series[index].points.length;
    number = Math.min(Math.max(number + along, 0), length - 1);
    tell([index, number]);
    // What has the focus is read again when its label changes.
    plot.setAttribute("aria-label", series[index].points[number][2]);
  });
  for (const button of all(".legend button", chart)) {
    button.addEventListener("click", () => {
      const index = Number(button.dataset.series), is_shown = hidden.has(index);
      if (is_shown) hidden.delete(index);
      else hidden.add(index);
      button.setAttribute("aria-pressed", is_shown);
      svg.querySelector(`g[data-series="${index}"]`).style.display = is_shown ? "" : "none";
      tell(null);
    });
  }
}

// Tables: a title sorts its column, upwards and then downwards; rows without a number come last.
for (const table of all(".table")) {
  const body = table.querySelector("tbody"), titles = all("th", table), rows = all("tr", body), count = table.querySelector("output");
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.key === undefined ? cell.textContent : Number(cell.dataset.key);
  };
  titles.forEach((title, column) => {
    const is_number = title.classList.contains("number");
    title.firstElementChild.addEventListener("click", () => {
      const order = title.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      titles.forEach((other) => other.removeAttribute("aria-sort"));
      title.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const compared = rows.slice().sort((a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        if (!is_number) return sign * String(x).localeCompare(String(y));
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        return typeof x === "number" ? sign * (x - y) : 0;
      });
      body.append(...compared);
    });
  });
  table.querySelector("input")?.addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) shown += 1;
    }
    count.textContent = words.length === 0 ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
  });
}

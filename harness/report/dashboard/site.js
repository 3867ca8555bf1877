"use strict";
// Filters, the search in logs, two runs side by side, and charts to zoom. Every page reads without it.

const up = document.body.dataset.up;

function address() {
  return new URLSearchParams(location.hash.slice(1));
}

function keep(name, value) {
  const told = address();
  value ? told.set(name, value) : told.delete(name);
  history.replaceState(null, "", "#" + told);
}

// Rows are shown if every filter fits; the filters live in the address, so that a view can be sent to somebody.
function filters() {
  const table = document.querySelector("table.filtered");
  if (!table) return;
  const inputs = [...document.querySelectorAll("[data-filter]")];
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));
  const counted = document.querySelector("[data-count]");
  function apply() {
    let shown = 0;
    for (const { row, text } of rows) {
      const fits = inputs.every((input) => {
        const name = input.dataset.filter, wanted = input.value;
        if (!wanted) return true;
        if (name === "text") return text.includes(wanted.toLowerCase());
        if (wanted === "off") return row.dataset.off === "off";
        return (row.dataset[name] || "").split(" ").includes(wanted) || row.dataset[name] === wanted;
      });
      row.hidden = !fits;
      shown += fits;
    }
    counted.textContent = `${shown} of ${rows.length}`;
  }
  function restore() {
    const told = address();
    for (const input of inputs) input.value = told.get(input.dataset.filter) || "";
    apply();
  }
  for (const input of inputs) {
    input.addEventListener("input", () => { keep(input.dataset.filter, input.value); apply(); });
  }
  addEventListener("hashchange", restore);
  restore();
}

function logs() {
  for (const input of document.querySelectorAll("[data-lines]")) {
    const text = document.getElementById(input.dataset.lines);
    const lines = text.textContent.split("\n");
    const counted = input.closest("form").querySelector("output");
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      const found = lines.filter((line) => line.toLowerCase().includes(wanted));
      text.textContent = found.join("\n");
      counted.textContent = wanted ? `${found.length} of ${lines.length} lines` : "";
    });
  }
}

// A run's results come as a script, since a page opened from a disk may load no other data.
const taken = new Map();
window.takeRun = (name, run) => taken.set(name, run);
window.takeKeys = (keys, pages, words) => { window.known = { keys, pages, words }; };

function load(file) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = up + file;
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  });
}

function cell(row, text, differs) {
  const made = row.insertCell();
  made.textContent = text;
  made.classList.toggle("differs", Boolean(differs));
  made.classList.toggle("long", text.length > 20);
  return made;
}

function tableOf(parent, title, heads) {
  const heading = document.createElement("h2");
  heading.textContent = title;
  const region = document.createElement("div");
  region.className = "scroll";
  region.tabIndex = 0;
  const table = document.createElement("table");
  const row = table.createTHead().insertRow();
  for (const head of heads) {
    const made = document.createElement("th");
    made.scope = "col";
    made.textContent = head;
    row.append(made);
  }
  region.append(table);
  parent.append(heading, region);
  return table.createTBody();
}

function beside() {
  const parent = document.getElementById("beside");
  if (!parent) return;
  const sides = [...document.querySelectorAll("[data-side]")];
  const everything = document.querySelector("[data-everything]");
  async function show() {
    const names = sides.map((side) => side.value);
    await Promise.all([window.known ? null : load("data/keys.js"),
      ...names.filter((name) => !taken.has(name)).map((name) => load(`data/${name}.js`))]);
    const [one, other] = names.map((name) => taken.get(name));
    parent.replaceChildren();
    const first = tableOf(parent, "Environment", ["", "One run", "Another"]);
    for (const name of new Set([...Object.keys(one.environment), ...Object.keys(other.environment)])) {
      const pair = [one.environment[name] ?? "-", other.environment[name] ?? "-"];
      const differs = pair[0] !== pair[1];
      if (!differs && !everything.checked) continue;
      const row = first.insertRow();
      cell(row, name);
      pair.forEach((value) => cell(row, value, differs));
    }
    if (!first.rows.length) cell(first.insertRow(), "The same.");
    const second = tableOf(parent, "Results", ["Result", "One run", "Another", "Error", "Another's", "Time / yardstick", "Another's"]);
    const by = [one, other].map((run) => new Map(run.results.map((result) => [result[0], result])));
    for (const index of new Set([...by[0].keys(), ...by[1].keys()])) {
      const pair = by.map((found) => found.get(index));
      const standings = pair.map((result) => result ? window.known.words[result[1]] : "-");
      const differs = standings[0] !== standings[1];
      if (!differs && !everything.checked) continue;
      const row = second.insertRow();
      const link = document.createElement("a");
      link.href = window.known.pages[index];
      link.textContent = window.known.keys[index].join(" ");
      cell(row, "").append(link);
      standings.forEach((text) => cell(row, text, differs));
      for (const place of [2, 3]) pair.forEach((result) => cell(row, result?.[place] ?? "-"));
    }
    if (!second.rows.length) cell(second.insertRow(), "Every result stands the same.");
  }
  function restore() {
    const told = address();
    for (const side of sides) {
      const last = side.options.length - 1;
      side.value = told.get(side.dataset.side) || side.options[Math.max(0, side.dataset.side === "a" ? last - 1 : last)].value;
    }
    everything.checked = told.has("everything");
    show();
  }
  for (const side of sides) {
    side.addEventListener("change", () => { keep(side.dataset.side, side.value); show(); });
  }
  everything.addEventListener("change", () => { keep("everything", everything.checked ? "1" : ""); show(); });
  addEventListener("hashchange", restore);
  restore();
}

function short(value) {
  const size = Math.abs(value);
  return size && (size < 0.01 || size >= 1e4) ? value.toExponential(0) : String(Number(value.toPrecision(3)));
}

// The drawing of the page gives way to one in which a reader can zoom and point, where the library is there.
function charts() {
  if (!window.Dygraph) return;
  const nights = window.nights;
  function colour(name) {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }
  for (const chart of document.querySelectorAll("[data-chart]")) {
    const told = JSON.parse(document.getElementById(chart.dataset.chart).textContent);
    const rows = told.lines[0].map((_, night) => [night, ...told.lines.map((line, place) => {
      const value = told.is_log && !(line[night] > 0) ? null : line[night];
      return told.band.length ? [told.band[0][night], value, told.band[1][night]] : value;
    })]);
    chart.replaceChildren();
    new window.Dygraph(chart, rows, {
      labels: ["night", ...told.names], logscale: told.is_log, customBars: Boolean(told.band.length), connectSeparatedPoints: false,
      drawPoints: rows.length < 60, pointSize: 2, colors: [colour("--accent"), colour("--ink")], strokeWidth: 1.6,
      series: told.names.length > 1 ? { [told.names[1]]: { strokePattern: [6, 4] } } : {}, labelsDiv: chart.previousElementSibling,
      axisLineColor: colour("--line"), gridLineColor: colour("--line"), axisLabelFontSize: 12, legend: "onmouseover",
      xRangePad: 4, rightGap: 12,
      axes: {
        x: { axisLabelWidth: 80, axisLabelFormatter: (night) => nights[night] ?? "", valueFormatter: (night) => nights[night] },
        y: { axisLabelWidth: 60, axisLabelFormatter: (value) => short(value), valueFormatter: (value) => value.toPrecision(4) },
      },
      underlayCallback: (canvas, area, graph) => {
        canvas.fillStyle = colour("--rose");
        for (const [night] of told.marks) canvas.fillRect(graph.toDomXCoord(night - 0.5) - 1, area.y, 2, area.h);
      },
    });
  }
}

filters();
logs();
beside();
charts();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", charts);

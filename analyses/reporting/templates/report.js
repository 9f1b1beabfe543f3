// Draws every chart at the width of its place, in the page's theme, and tells who listens which head was clicked.
const page = document.documentElement;
const themes = JSON.parse(document.getElementById("themes").textContent);
const views = new Map();
const chosen = { layer: -1, head: -1 };
const listeners = [];
const NARROW = 560, SIDE_LEGEND = 760, PANEL = 250, WIDEST = 1400;
const ON_CANVAS = new Set(["volcano", "replication"]);

function readJson(id) {
  const source = document.getElementById(id);
  return source ? JSON.parse(source.textContent) : null;
}

function specificationOf(name) {
  return JSON.parse(document.querySelector(`script[data-specification="${name}"]`).textContent);
}

// The heading of the section says the title; the line below it becomes a paragraph, which wraps where a chart cuts.
function tellSubtitle(place, title) {
  const lines = title && title.subtitle ? [title.subtitle].flat() : [];
  let note = place.previousElementSibling;
  if (!note || !note.classList.contains("size")) {
    note = document.createElement("p");
    note.className = "size";
    place.before(note);
  }
  note.textContent = lines.join(" · ");
}

function limitLabels(part, limit, isNarrow) {
  if (!part || typeof part !== "object") return;
  if (part.axis && part.axis.labelLimit > limit) {
    part.axis.labelLimit = limit;
    if (isNarrow && !part.axis.labelExpr) Object.assign(part.axis, inLines(Math.floor(limit / 5)));
  }
  Object.values(part).forEach((inner) => limitLabels(inner, limit, isNarrow));
}

// Small labels over several lines, broken between words, where one line would be cut.
function inLines(characters) {
  const broken = `replace(datum.label, regexp("(.{1,${characters}})( |$)", "g"), "$1\\n")`;
  return { labelExpr: `split(trim(${broken}), "\\n")`, labelFontSize: 9, labelLineHeight: 10 };
}

// Titles of axes over several lines, where the chart is narrower than they are.
function breakTitles(part, characters) {
  if (!part || typeof part !== "object") return;
  if (typeof part.title === "string" && part.title.length > characters) {
    part.title = part.title.match(new RegExp(`.{1,${characters}}(?: |$)`, "g")) || part.title;
  }
  Object.entries(part).forEach(([key, inner]) => key !== "datasets" && breakTitles(inner, characters));
}

// As wide as the place; a square chart stays one.
function widthOf(specification, room) {
  const { width, height } = specification;
  const isSquare = typeof width === "number" && width === height;
  return Math.min(room, isSquare ? width + (room < SIDE_LEGEND ? 110 : 230) : WIDEST);
}

// Layers may carry the title of their chart; the page takes it from wherever it stands.
function takeTitle(specification) {
  const holders = [specification, ...(specification.layer || [])];
  const title = holders.map((holder) => holder.title).find(Boolean);
  holders.forEach((holder) => delete holder.title);
  return title;
}

function fitted(specification, room) {
  const isNarrow = room < NARROW;
  limitLabels(specification, isNarrow ? 0.42 * room : Math.min(420, 0.45 * room), isNarrow);
  if (isNarrow) breakTitles(specification, Math.floor(0.55 * room / 6));
  const inner = specification.spec || (specification.concat || specification.vconcat || [])[0];
  if (!inner) {
    specification.width = widthOf(specification, room);
    specification.autosize = { type: "fit-x", contains: "padding" };
    return specification;
  }
  const most = specification.vconcat ? 1 : specification.columns || 1;
  const columns = Math.max(1, Math.min(most, Math.floor(room / PANEL)));
  const labels = specification.spec ? (room < NARROW ? 130 : 190) : 0;
  const gap = specification.spec ? 34 : 72;
  const legend = room < SIDE_LEGEND ? 0 : 140;
  const width = Math.max(110, Math.min(700, (room - labels - legend) / columns - gap));
  if (!specification.vconcat) specification.columns = columns;
  const panels = specification.spec ? [inner] : specification.concat || specification.vconcat;
  for (const panel of panels) panel.width = specification.vconcat ? (room < NARROW ? 0.48 * room : Math.min(room - 580, 900)) : width;
  return specification;
}

function configOf(room) {
  const theme = themes[page.dataset.theme];
  const legend = { ...theme.legend };
  if (room < SIDE_LEGEND) Object.assign(legend, { orient: "bottom", columns: Math.max(1, Math.floor(room / 210)) });
  return { ...theme, background: "transparent", legend };
}

function signalsOf(embedded) {
  const known = {};
  for (const { name } of embedded.spec.params || []) known[name] = embedded.view.signal(name);
  return known;
}

// Marks without a name (lines between panels, rings) would be read out as nothing; the chart's own name says what it is.
function hideNameless(place) {
  for (const mark of place.querySelectorAll('[role="graphics-symbol"]:not([aria-label])')) mark.setAttribute("aria-hidden", "true");
}

async function draw(place, data, values = {}) {
  const name = place.dataset.chart;
  const wide = place.clientWidth - 2;
  // Where there is room, the chart's own menu stands beside it and not on it.
  const room = Math.max(240, wide > SIDE_LEGEND ? wide - 36 : wide);
  const specification = specificationOf(name);
  const title = takeTitle(specification);
  if (!place.closest(".panel, .explorer")) tellSubtitle(place, title);
  fitted(specification, room);
  const earlier = views.get(name);
  const known = earlier ? signalsOf(earlier) : {};
  if (earlier) earlier.finalize();
  specification.config = configOf(room);
  if (data) specification.datasets = data;
  for (const parameter of specification.params || []) {
    if (parameter.name in known) parameter.value = known[parameter.name];
    if (parameter.name in values) parameter.value = values[parameter.name];
    if (parameter.name === "marked_layer") parameter.value = chosen.layer;
    if (parameter.name === "marked_head") parameter.value = chosen.head;
  }
  const actions = { export: { svg: true, png: true }, source: false, compiled: false, editor: false };
  const renderer = ON_CANVAS.has(name) ? "canvas" : "svg";
  const embedded = await vegaEmbed(place, specification, { actions, renderer });
  views.set(name, embedded);
  hideNameless(place);
  const menu = place.querySelector("summary");
  if (menu) menu.setAttribute("aria-label", `Save as a picture: ${place.getAttribute("aria-label") || name}`);
  place.dataset.room = wide;
  embedded.view.addEventListener("click", (event, item) => {
    const datum = item && item.datum;
    if (!datum) return;
    if (name === "sample_flow") return showToken(datum.first);
    if (Number.isInteger(datum.layer) && Number.isInteger(datum.head)) chooseHead(datum.layer, datum.head, name);
  });
  if (name === "head_map") {
    for (const signal of ["chosen_rows", "chosen_statistic"]) {
      embedded.view.addSignalListener(signal, () => listeners.forEach((listener) => listener("menu")));
    }
  }
  return embedded;
}

function chooseHead(layer, head, from) {
  Object.assign(chosen, { layer, head });
  for (const embedded of views.values()) {
    if ((embedded.spec.params || []).some(({ name }) => name === "marked_layer")) {
      embedded.view.signal("marked_layer", layer).signal("marked_head", head).runAsync();
    }
  }
  listeners.forEach((listener) => listener(from));
}

const pause = () => new Promise((resolve) => setTimeout(resolve));
const places = [...document.querySelectorAll(".chart[data-chart]")];
const sections = places.filter((place) => !place.closest(".panel") && !place.closest(".explorer"));

// All of them, one after the other from the top, so that every chart is there for printing and for a screenshot
// without scrolling; the browser paints and answers between two of them.
async function drawOthers() {
  for (const place of sections.slice(1)) {
    await draw(place);
    await pause();
  }
}

async function drawAgain() {
  await drawn;
  for (const place of sections) await draw(place);
  listeners.forEach((listener) => listener("page"));
}

const firstDrawn = pause().then(() => sections.length && draw(sections[0]));
const drawn = firstDrawn.then(drawOthers).then(() => { page.dataset.drawn = "yes"; });

let hasChosen = false;
document.getElementById("theme").addEventListener("click", () => {
  hasChosen = true;
  page.dataset.theme = page.dataset.theme === "dark" ? "light" : "dark";
  drawAgain();
});
scheme.addEventListener("change", () => {
  if (!followsSystem || hasChosen) return;
  page.dataset.theme = scheme.matches ? "dark" : "light";
  drawAgain();
});

// A bar at the side where there is room; else a menu that opens, and closes once a chapter is chosen.
const chapterMenu = document.getElementById("menu");
if (chapterMenu) {
  const wide = matchMedia("(min-width: 72rem)");
  const settle = () => { chapterMenu.open = wide.matches; };
  wide.addEventListener("change", settle);
  chapterMenu.addEventListener("click", (event) => { if (event.target.closest("a")) settle(); });
  settle();
}

let waiting = null;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    if (sections.some((place) => Math.abs(place.clientWidth - 2 - place.dataset.room) > 20)) drawAgain();
  }, 200);
});

function element(kind, text, className) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function tableOf(heads, rows) {
  const table = element("table"), head = element("tr"), body = element("tbody");
  heads.forEach((name) => head.append(Object.assign(element("th", name), { scope: "col" })));
  for (const row of rows) {
    const line = element("tr");
    row.forEach((value, slot) => line.append(slot ? element("td", value) : Object.assign(element("th", value), { scope: "row" })));
    body.append(line);
  }
  const top = element("thead");
  top.append(head);
  table.append(top, body);
  const scroll = element("div", undefined, "scroll");
  scroll.append(table);
  return scroll;
}

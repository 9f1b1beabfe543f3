const themes = JSON.parse(document.getElementById("themes").textContent);
const views = new Map();
const page = document.documentElement;

async function draw(place) {
  const name = place.dataset.chart;
  const source = document.querySelector(`script[data-specification="${name}"]`);
  const specification = JSON.parse(source.textContent);
  const chosen = views.has(name) ? choices(views.get(name)) : {};
  if (views.has(name)) views.get(name).finalize();
  specification.config = { ...themes[page.dataset.theme], background: "transparent" };
  for (const parameter of specification.params || []) {
    if (parameter.name in chosen) parameter.value = chosen[parameter.name];
  }
  const actions = { export: { svg: true, png: true }, source: false, compiled: false, editor: false };
  views.set(name, await vegaEmbed(place, specification, { actions }));
}

function choices(embedded) {
  const known = {};
  for (const parameter of embedded.spec.params || []) known[parameter.name] = embedded.view.signal(parameter.name);
  return known;
}

const places = [...document.querySelectorAll(".chart")];

// All of them, one after the other from the top, so that every chart is there for printing and for a screenshot
// without scrolling.
async function drawAll() {
  for (const place of places) await draw(place);
}

const drawn = drawAll();

document.getElementById("theme").addEventListener("click", () => {
  page.dataset.theme = page.dataset.theme === "dark" ? "light" : "dark";
  drawn.then(() => places.forEach(draw));
});

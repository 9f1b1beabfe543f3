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

const waiting = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    waiting.unobserve(entry.target);
    draw(entry.target);
  }
}, { rootMargin: "600px" });

const places = [...document.querySelectorAll(".chart")];
places.forEach((place) => waiting.observe(place));

document.getElementById("theme").addEventListener("click", () => {
  page.dataset.theme = page.dataset.theme === "dark" ? "light" : "dark";
  places.filter((place) => views.has(place.dataset.chart)).forEach(draw);
});

window.addEventListener("beforeprint", () => {
  places.filter((place) => !views.has(place.dataset.chart)).forEach(draw);
});

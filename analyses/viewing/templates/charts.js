// Draws the charts of a page at the width of their places; their menu saves them as png and svg.
const themes = JSON.parse(document.getElementById("themes").textContent);
async function drawAll() {
  for (const place of document.querySelectorAll(".chart[data-chart]")) {
    const source = document.querySelector(`script[data-specification="${place.dataset.chart}"]`);
    const specification = JSON.parse(source.textContent);
    Object.assign(specification, { width: Math.max(240, place.clientWidth - 40), autosize: { type: "fit-x", contains: "padding" } });
    specification.config = { ...themes[page.dataset.theme], background: "transparent" };
    await vegaEmbed(place, specification, { actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false }, renderer: "svg" });
    // Marks without a name would be read out as nothing; the chart's own name says what it is.
    for (const mark of place.querySelectorAll('[role="graphics-symbol"]:not([aria-label])')) mark.setAttribute("aria-hidden", "true");
    place.querySelector("summary")?.setAttribute("aria-label", `Save as a picture: ${place.getAttribute("aria-label")}`);
  }
  page.dataset.drawn = "yes";
}
if (typeof vegaEmbed === "function") {
  drawAll();
  document.addEventListener("themed", drawAll);
}

// The sample explorer: one sample's text, shaded by what its decision row weighs.
const explorer = readJson("explorer-data");
let showToken = () => {};

function sampleExplorer() {
  const [numLayers, numHeads] = explorer.shape;
  const place = document.getElementById("explorer-text");
  const control = Object.fromEntries(["sample", "layer", "head"].map((name) => [name, document.querySelector(`.explorer [name=${name}]`)]));
  const said = document.getElementById("explorer-said");
  const percent = (share) => `${(100 * share).toPrecision(3)} %`;
  const called = (name) => name === "statement" ? explorer.statement : name;
  let sample = null, spans = [], weights = new Map(), active = 0;

  function unpack(row) {
    const found = new Map();
    if (row) row[0].forEach((position, slot) => found.set(position, row[1][slot] * explorer.unit));
    return found;
  }

  function keptRow() {
    if (control.head.value === "rollout") return sample.rollout;
    if (control.head.value === "mean") return sample.layers[control.layer.value];
    return sample.heads[`${control.layer.value}.${control.head.value}`];
  }

  function say(position) {
    const weight = weights.get(position);
    const after = sample.decision !== null && position > sample.decision;
    const uniform = sample.decision === null ? 0 : 1 / (sample.decision + 1);
    const share = after ? "comes after the decision, so it cannot be looked at" :
      weight === undefined ? "is not among the kept keys: less than each of them" :
      `gets ${percent(weight)} of the attention${uniform ? `, ${(weight / uniform).toPrecision(3)} times uniform` : ""}`;
    said.textContent = `Token ${position} “${sample.tokens[position]}” ${share}.`;
  }

  function shade() {
    const row = keptRow();
    weights = unpack(row);
    const most = Math.max(...weights.values(), 0);
    spans.forEach((span, position) => {
      const weight = weights.get(position) || 0;
      span.style.setProperty("--weight", most ? Math.sqrt(weight / most).toFixed(3) : 0);
    });
    const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
    const isRollout = control.head.value === "rollout";
    control.layer.disabled = isRollout;
    document.getElementById("explorer-layer").textContent = isRollout ? "all" : control.layer.value;
    const what = isRollout ? "Rollout over all layers" : control.head.value === "mean" ?
      `Layer ${control.layer.value}, mean over heads` : `Head ${control.layer.value}.${control.head.value}`;
    document.getElementById("explorer-what").textContent = row ?
      `${what}: the ${weights.size} keys shown hold ${percent(total)} of the decision token's attention.` :
      `${what}: not kept for this sample.`;
    const heaviest = [...weights].sort((one, other) => other[1] - one[1]).slice(0, 10);
    document.getElementById("explorer-keys").replaceChildren(...heaviest.map(([position, weight]) => {
      const item = element("li"), button = element("button", sample.tokens[position].trim() || "␣");
      button.type = "button";
      button.addEventListener("click", () => showToken(position));
      item.append(button, element("span", ` ${percent(weight)} · token ${position}`, "share"));
      return item;
    }));
  }

  function write() {
    spans = [];
    const parts = sample.segments.map(([start, end, name]) => {
      const text = element("pre", undefined, `tokens ${name}`);
      text.dir = "auto";
      if (name === "statement") { // wide lines scroll, by keyboard too
        text.tabIndex = 0;
        text.setAttribute("role", "region");
        text.setAttribute("aria-label", `The ${explorer.statement} as the model read it`);
      }
      for (let position = start; position < end; position += 1) {
        const span = element("span", sample.tokens[position]);
        span.dataset.position = position;
        if (position > sample.decision && sample.decision !== null) span.className = "after";
        if (position === sample.decision + 1 && sample.decision !== null) span.className = "decided";
        spans[position] = span;
        text.append(span);
      }
      if (name === "template") return text;
      const block = element("details");
      block.open = name !== "system";
      block.append(element("summary", `${called(name)} · ${end - start} tokens`), text);
      return block;
    });
    place.replaceChildren(...parts);
  }

  function bins() {
    if (sample.decision === null) return [];
    const length = sample.decision + 1, width = Math.max(1, Math.ceil(length / explorer.bins));
    const rows = [];
    sample.layers.forEach((row, layer) => {
      if (!row) return;
      const shares = new Array(Math.ceil(length / width)).fill(0), top = new Map();
      for (const [position, weight] of unpack(row)) {
        const slot = Math.floor(position / width);
        shares[slot] += weight;
        if (!top.has(slot) || weight > top.get(slot)[1]) top.set(slot, [position, weight]);
      }
      shares.forEach((share, slot) => {
        const end = Math.min((slot + 1) * width, length);
        rows.push({ layer, first: slot * width, last: end - 1, end, share, text: top.has(slot) ? sample.tokens[top.get(slot)[0]] : "" });
      });
    });
    return rows;
  }

  let turn = Promise.resolve();
  function flow() {
    const chart = document.querySelector('[data-chart="sample_flow"]');
    if (!chart) return;
    const rows = bins();
    chart.hidden = !rows.length;
    const length = sample.decision + 1;
    const segments = sample.segments.filter(([start, , name]) => name !== "template" && start < length)
      .map(([start, end, name]) => ({ start, segment: end - start > explorer.min_named * length ? called(name) : "" }));
    if (rows.length) turn = turn.then(() => draw(chart, { rows, segments }));
  }

  function open() {
    sample = explorer.samples[control.sample.value];
    document.getElementById("explorer-why").textContent = `${sample.id}: ${sample.reasons.join("; ")}.`;
    document.getElementById("explorer-facts").replaceChildren(tableOf(["", ""], sample.facts));
    const hasHeads = Object.keys(sample.heads).length > 0;
    for (const option of control.head.options) {
      option.disabled = option.value === "rollout" ? !sample.rollout : option.value !== "mean" && !hasHeads;
    }
    if (control.head.selectedOptions[0].disabled) control.head.value = "mean";
    document.getElementById("explorer-source").textContent = [
      sample.layers_from === "rows" ? "" : "Layers are averages of the keys that each head kept, so they are lower bounds (statistics.decision_rows keeps whole rows).",
      !hasHeads ? "No rows of single heads were kept." : sample.heads_from === "whole rows" ? "" : "Of single heads the run kept the heaviest keys only (statistics.decision_rows with sample ids keeps whole rows).",
    ].filter(Boolean).join(" ");
    active = Math.max(0, sample.decision || 0);
    write();
    shade();
    flow();
  }

  showToken = (position) => {
    const span = spans[position];
    if (!span) return;
    const folded = span.closest("details");
    if (folded) folded.open = true;
    if (spans[active]) spans[active].classList.remove("active");
    active = position;
    span.classList.add("active");
    span.scrollIntoView({ block: "nearest", inline: "nearest" });
    say(position);
  };

  explorer.samples.forEach((one, slot) => control.sample.append(new Option(`${one.id}: ${one.reasons[0]}`, slot)));
  control.head.append(new Option("mean over heads", "mean"), new Option("rollout", "rollout"));
  for (let head = 0; head < numHeads; head += 1) control.head.append(new Option(`head ${head}`, head));
  control.layer.max = numLayers - 1;
  control.layer.value = numLayers - 1;
  control.sample.addEventListener("change", open);
  control.layer.addEventListener("input", shade);
  control.head.addEventListener("change", shade);
  place.addEventListener("mouseover", (event) => {
    if (event.target.dataset.position) say(Number(event.target.dataset.position));
  });
  place.addEventListener("click", (event) => {
    if (event.target.dataset.position) showToken(Number(event.target.dataset.position));
  });
  place.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    showToken(Math.max(0, Math.min(sample.tokens.length - 1, active + step)));
  });
  listeners.push((from) => { if (from === "page") flow(); });
  open();
}

if (explorer) sampleExplorer();

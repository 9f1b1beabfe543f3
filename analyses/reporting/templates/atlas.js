// The head panel: everything about the head that was clicked, or chosen by the arrow keys or the two fields.
const atlas = readJson("atlas-data");

function atlasPanel() {
  const [numLayers, numHeads] = atlas.shape;
  const panel = document.getElementById("head-panel");
  const fields = { layer: panel.querySelector("[name=layer]"), head: panel.querySelector("[name=head]") };
  const jump = document.getElementById("jump");

  function section(id, empty, content) {
    const place = document.getElementById(id);
    place.replaceChildren(...(content.length ? content : [element("p", empty || "Nothing to show for this head.", "guide")]));
  }

  function chosenInMap() {
    const map = views.get("head_map");
    const known = map ? signalsOf(map) : {};
    return { rows: known.chosen_rows || atlas.start.rows, statistic: known.chosen_statistic || atlas.start.statistic };
  }

  function spread(key) {
    const { rows, statistic } = chosenInMap();
    const title = document.getElementById("panel-spread-title");
    title.textContent = `${atlas.rows[rows]}: ${atlas.statistics[statistic]}`;
    const note = document.getElementById("panel-spread-note");
    const found = ((atlas.distributions[rows] || {})[statistic] || {})[key];
    const place = document.querySelector('[data-chart="head_distribution"]');
    place.hidden = !found;
    note.textContent = found ? "" : atlas.distributions[rows] ? "No sample has a value here." :
      `The page holds distributions of ${Object.keys(atlas.distributions).map((name) => atlas.rows[name].toLowerCase()).join(", ")} only, to stay small; tables/head_distributions.parquet has all.`;
    if (!found) return;
    const names = ["q05", "q25", "median", "q75", "q95", "num_samples"];
    const data = found.map((row, slot) => row && Object.assign({ group: atlas.groups[slot] },
      Object.fromEntries(names.map((name, at) => [name, row[at]])))).filter(Boolean);
    return draw(place, { rows: data }, { is_share: atlas.shares.includes(statistic) });
  }

  function lifts(key) {
    const place = document.querySelector('[data-chart="head_lift"]');
    const { rows } = chosenInMap();
    const known = atlas.lifts.rows[rows], found = (known || {})[key];
    const held = Object.keys(atlas.lifts.rows).map((name) => atlas.rows[name].toLowerCase()).join(", ");
    document.getElementById("panel-lift-note").textContent = found ? atlas.rows[rows] : atlas.absent.lifts ||
      (known ? "No sample has a value here." : `The page holds lifts of ${held} only, to stay small; tables/head_lifts.parquet has all.`);
    if (!place) return;
    place.hidden = !found;
    if (!found) return;
    const data = found.map((row, slot) => row && { key_group: atlas.lifts.groups[slot][0], kind: atlas.lifts.groups[slot][1],
      mean: row[0], ci_low: row[1], ci_high: row[2], num_samples: row[3] }).filter(Boolean);
    return draw(place, { rows: data });
  }

  function tokens(rows) {
    const most = Math.max(...rows.map((row) => row[1]), 1e-9);
    const list = element("ol", undefined, "bars");
    for (const [text, share, number] of rows) {
      const item = element("li"), bar = element("span", undefined, "bar");
      bar.style.width = `${(100 * share) / most}%`;
      item.append(element("code", text), element("span", `${(100 * share).toPrecision(2)} % · ${number} samples`, "share"), bar);
      list.append(item);
    }
    return list;
  }

  // One part of the panel at a time: a panel that shows all is longer than the map beside it is high.
  const tabs = [...panel.querySelectorAll("[role=tab]")];
  function open(tab) {
    for (const other of tabs) {
      const isOpen = other === tab;
      other.setAttribute("aria-selected", isOpen);
      other.tabIndex = isOpen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !isOpen;
    }
    if (panel.dataset.head) show("menu");
  }
  tabs.forEach((tab, slot) => {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = tabs[(slot + step + tabs.length) % tabs.length];
      next.focus();
      open(next);
    });
  });

  let turn = Promise.resolve();
  function show(from) {
    if (from === "page" || from === "menu") turn = turn.then(() => spread(key())).then(() => lifts(key()));
    if (from === "page" || from === "menu") return;
    const [facts, tests, causes, words] = atlas.heads[key()] || [[], [], [], []];
    document.getElementById("panel-title").textContent = `Head ${key()}`;
    document.getElementById("panel-type").textContent = facts.length ? facts[0][1] : "unknown type";
    fields.layer.value = chosen.layer;
    fields.head.value = chosen.head;
    section("panel-facts", "No head_stats for this head.", facts.length ? [tableOf(["", ""], facts.slice(1))] : []);
    section("panel-tests", atlas.absent.tests, tests.length ? [tableOf(["statistic", "adjusted difference", "adjusted p", "verdict", "n"], tests)] : []);
    section("panel-causes", atlas.absent.causes, causes.length ? [tableOf(["cause", "change of the lead", "adjusted p", "n"], causes)] : []);
    section("panel-tokens", atlas.absent.tokens, words.length ? [tokens(words)] : []);
    turn = turn.then(() => spread(key())).then(() => lifts(key())).then(() => { panel.dataset.head = key(); });
    jump.hidden = !from || from === "head_map" || from === "field";
    jump.textContent = `Head ${key()}: show all of it ↑`;
  }

  const key = () => `${chosen.layer}.${chosen.head}`;
  const within = (value, most) => Math.max(0, Math.min(most - 1, Math.trunc(Number(value)) || 0));
  for (const field of Object.values(fields)) {
    field.addEventListener("change", () => chooseHead(within(fields.layer.value, numLayers), within(fields.head.value, numHeads), "field"));
  }
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  document.querySelector('[data-chart="head_map"]').addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step || event.target.closest("select, summary")) return;
    event.preventDefault();
    chooseHead(within(chosen.layer + step[0], numLayers), within(chosen.head + step[1], numHeads), "field");
  });
  jump.addEventListener("click", () => {
    jump.hidden = true;
    panel.scrollIntoView({ block: "start" });
    fields.layer.focus({ preventScroll: true });
  });
  listeners.push(show);
  firstDrawn.then(() => chooseHead(atlas.start.layer, atlas.start.head, ""));
}

if (atlas && document.getElementById("head-panel")) atlasPanel();

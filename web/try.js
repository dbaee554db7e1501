"use strict";
// The page `in_your_browser`: a trained encoder that reads a history the reader puts together, and the operators of Eq. 4 on words that she types.
{
  const BLUE = [0, 114, 178], GRAY = "#767676", GRID = "rgba(128,128,128,0.25)", CLEAR = "rgba(0,0,0,0)";
  const shades = depth => `rgb(${BLUE.map(part => Math.round(255 + depth * (part - 255))).join(",")})`;
  const layout = (title, height, more) => ({ title: { text: title, font: { size: 16 } }, height, font: { size: 14, color: GRAY }, paper_bgcolor: CLEAR,
    plot_bgcolor: CLEAR, margin: { l: 110, r: 20, t: 50, b: 50 }, showlegend: false, ...more });
  const control = (name, label, kind, more) => ({ name, label, kind, ...more });

  function element(tag, { className = "", text = "" } = {}, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  }

  function figureIn(place, id, recorded) {
    const plot = element("div", { className: "mclrec-plot" }), figure = element("figure", { className: "mclrec-figure" }, plot, element("figcaption", { text: recorded.caption }));
    figure.id = id;
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", recorded.caption);
    place.append(figure);
    return mclrec.figures[id] = mclrec.liveFigure(figure, recorded);
  }

  // ---- a shop

  globalThis.mclrecShop = async packed => {
    const place = document.querySelector(".mclrec-shop"), shop = mathematics.model(await mclrec.unpack(packed));
    const name = item => shop.items[item - 1];
    const aisleOf = Object.fromEntries(Object.entries(shop.aisles).flatMap(([aisle, items]) => items.map(item => [item, aisle])));
    let history = shop.histories[0];

    mclrec.computed.shop_list = ({ controls }) => ({ controls, figure(at) {
      if (!history.length) return { data: [], layout: layout("take something first", 400, {}) };
      const logs = mathematics.logSoftmax(mathematics.scores(shop, mathematics.encode(shop, history).h)), out = controls[0].values[at.seen] === "out";
      const best = logs.map((log, k) => [k + 1, Math.exp(log)]).filter(([item]) => !(out && history.includes(item))).sort((a, b) => b[1] - a[1]).slice(0, 10).reverse();
      const bars = { type: "bar", orientation: "h", x: best.map(one => one[1]), y: best.map(([item]) => name(item)), customdata: best.map(one => one[0]),
        marker: { color: best.map(([item]) => shop.tints[aisleOf[item]]) }, hovertemplate: "%{y}: %{x:.3f}<extra></extra>" };
      const axes = { xaxis: { title: { text: "probability" }, gridcolor: GRID, rangemode: "tozero" }, yaxis: { automargin: true, type: "category" } };
      return { data: [bars], layout: layout("what this model would put first", 400, axes) };
    } });
    mclrec.computed.shop_attention = ({ controls }) => ({ controls, figure(at) {
      const items = history.slice(-shop.n), names = items.map((item, k) => `${k + 1} ${name(item)}`);
      if (!items.length) return { data: [], layout: layout("take something first", 380, {}) };
      const { shares } = mathematics.encode(shop, items), z = shares[at.layer][at.head].map(row => names.map((_, k) => row[k] ?? null));
      const axis = { showgrid: false, tickvals: names, ticktext: names, automargin: true, type: "category" };
      const cells = { type: "heatmap", x: names, y: names, z, zmin: 0, zmax: 1, colorscale: [[0, "#ffffff"], [1, "#0072B2"]], hoverongaps: false,
        colorbar: { title: { text: "share" } }, hovertemplate: "%{y} takes %{z:.2f} from %{x}<extra></extra>" };
      return { data: [cells], layout: layout("what each position takes from each before it", 420, { xaxis: { ...axis, tickangle: -45 }, yaxis: { ...axis, autorange: "reversed" } }) };
    } });

    const taken = element("div", { className: "mclrec-chips" }), shelf = element("div", { className: "mclrec-chips" }), aisles = element("select");
    const said = element("p", { className: "mclrec-note" });
    said.setAttribute("role", "status");
    const examples = element("div", { className: "mclrec-chips" });
    shop.histories.forEach((items, k) => examples.append(mclrec.button(`shopper ${k + 1}`, () => change(items))));
    examples.append(mclrec.button("nothing", () => change([])));
    aisles.id = "mclrec-aisle";
    aisles.append(...Object.keys(shop.aisles).map(aisle => new Option(aisle)));
    aisles.addEventListener("change", stock);
    const aisleLabel = element("label", { text: "Aisle " }, aisles);
    const taking = element("p", { text: "Taken, oldest first; a click puts an item back:" });
    place.replaceChildren(element("p", { text: "Begin with the history of" }), examples, aisleLabel, shelf, taking, taken, said);
    const list = figureIn(place, "fig-shop-list", { function: "shop_list", caption: "The ten items to which the encoder gives most, and their probabilities among all.",
      controls: [control("seen", "what was taken already", "buttons", { values: ["in", "out"], start: 1 })] });
    const looks = figureIn(place, "fig-shop-attention", { function: "shop_attention", caption: "Each row: how one position of this history spreads its attention.",
      controls: [control("layer", "layer", "buttons", { values: ["1", "2"], start: 1 }), control("head", "head", "buttons", { values: ["1", "2"], start: 0 })] });
    let asked = false;

    function stock() {
      shelf.replaceChildren(...shop.aisles[aisles.value].map(item => mclrec.button(name(item), () => change([...history, item]))));
    }
    function change(items) {
      history = items;
      taken.replaceChildren(...history.map((item, k) => {
        const chip = mclrec.button(name(item), () => change(history.filter((_, other) => other !== k)));
        chip.setAttribute("aria-label", `put back ${name(item)}`);
        return chip;
      }));
      if (asked) said.textContent = history.length ? `${history.length} taken, last ${name(history.at(-1))}${history.length > shop.n ? `; the model reads the last ${shop.n}` : ""}` : "nothing taken";
      asked = true;
      list.draw();
      looks.draw();
    }
    mclrec.shop = { model: shop, change, get history() { return history; } };
    stock();
    change(history);
    mclrec.follow(location.hash);
  };

  // ---- words that the reader types

  // Numbers from 0 to 1, always the same for one seed (a linear congruential generator of 32 bits).
  function randomFrom(seed) {
    let state = (seed * 2654435761) >>> 0;
    const next = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; };
    for (let k = 0; k < 5; k++) next();
    return next;
  }

  function chips(rows, title) {
    const width = Math.max(8, ...Object.values(rows).map(row => row.length)), room = Math.max(2, Math.floor(90 / width)), shapes = [], data = [];
    Object.values(rows).forEach((row, y) => {
      row.forEach(([, color], x) => shapes.push({ type: "rect", x0: x + .04, x1: x + .96, y0: y - .36, y1: y + .36, layer: "below", fillcolor: color ?? CLEAR, line: { color: color ?? GRAY, width: 1 } }));
      data.push({ type: "scatter", mode: "text", x: row.map((_, x) => x + .5), y: row.map(() => y), text: row.map(([text]) => text.length > room ? `${text.slice(0, room - 1)}…` : text),
        hovertext: row.map(([text]) => text), hoverinfo: "text", textfont: { color: row.map(([, , ink]) => ink ?? GRAY) } });
    });
    const names = Object.keys(rows);
    return { data, layout: layout(title, 110 + 60 * names.length, { shapes, xaxis: { visible: false, range: [0, width] },
      yaxis: { range: [names.length - .5, -.5], tickvals: names.map((_, k) => k), ticktext: names, showgrid: false, zeroline: false } }) };
  }

  const typed = document.querySelector(".mclrec-typed");
  if (typed) {
    const input = element("input"), label = element("label", { text: "A history, its items separated by commas: " });
    input.type = "text";
    input.value = "bread, butter, tea, milk, apples, rice, soap, bread";
    label.append(input);
    typed.append(label);
    const words = () => input.value.split(",").map(word => word.trim()).filter(Boolean).slice(0, 20);
    mclrec.computed.typed_view = ({ controls }) => ({ controls, figure(at) {
      const items = words(), places = items.map((_, k) => k), operator = controls[0].values[at.operator];
      if (!items.length) return chips({ history: [] }, "type an item");
      const chip = k => {
        if (k === null) return ["gap", null];
        const depth = .2 + .8 * k / Math.max(items.length - 1, 1);
        return [items[k], shades(depth), depth > .6 ? "white" : "black"];
      };
      const view = mathematics.OPERATORS[operator](places, at.ratio, randomFrom(at.draw));
      const count = mathematics.share(items.length, at.ratio);
      return chips({ history: places.map(chip), [operator]: view.map(chip) }, `${operator}: ⌊${+at.ratio.toFixed(2)} × ${items.length}⌋ = ${count}`);
    } });
    const figure = figureIn(typed, "fig-typed", { function: "typed_view", caption: "The history and one view of it (Eq. 4): shade is the place in it, an outline is a gap.", controls: [
      control("operator", "operator", "buttons", { values: ["crop", "mask", "reorder"], start: 0 }),
      control("ratio", "ratio", "range", { min: 0, max: 1, step: .05, start: .5 }), control("draw", "draw", "range", { min: 1, max: 30, step: 1, start: 1 })] });
    input.addEventListener("input", () => figure.draw());
    mclrec.follow(location.hash);
  }
}

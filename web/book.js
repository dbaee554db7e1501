"use strict";
// Makes the figures of a page alive. A page brings its chapter's figures along as frames/<chapter>.js: for each its controls, and what it shows at every
// combination of their values, as pieces of which none is there twice (see .ci/frames.py). A figure whose mathematics is known to computed.js is
// computed here instead, for any value between.
const mclrec = globalThis.mclrec = { figures: {}, computed: {}, assembled, button, follow, liveFigure, unpack };

globalThis.mclrecFrames = async (chapter, packed) => {
  const places = [...document.querySelectorAll(`.mclrec-figure[data-chapter="${chapter}"]`)];
  try {
    const recorded = await unpack(packed);
    for (const place of places) mclrec.figures[place.id] = liveFigure(place, recorded[place.dataset.name]);
    document.dispatchEvent(new CustomEvent("mclrec-ready"));
    follow(location.hash);
  } catch (error) {
    for (const place of places) say(place, `This figure cannot move here: ${error.message}. A browser of 2023 or later is needed.`);
    throw error;
  }
};

// JSON, compressed, as text.
async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

// A figure from its pieces, all objects new: Plotly writes into what it is given.
function assembled({ keys, pieces }, root) {
  const [kind, ...parts] = pieces[root];
  if (kind === -1) return parts[0];
  const made = parts.map(part => assembled({ keys, pieces }, part));
  return kind === -2 ? made : Object.fromEntries(keys[kind].map((key, k) => [key, made[k]]));
}

// Its number among the recorded ones, the last control turning fastest.
function numberOf(controls, at) {
  return controls.reduce((number, { name, values }) => number * values.length + at[name], 0);
}

// ---- a figure

function liveFigure(place, recorded) {
  const computed = mclrec.computed[recorded.function]?.(recorded);
  const controls = computed?.controls ?? recorded.controls;
  const start = Object.fromEntries(controls.map(({ name, start }) => [name, start]));
  const figure = { place, controls, at: { ...start }, widgets: {}, playing: null, drawn: 0 };
  const plot = place.querySelector(".mclrec-plot"), frame = document.createElement("div");
  frame.className = "mclrec-frame";
  plot.replaceWith(frame);
  frame.append(plot);

  figure.shown = () => computed ? computed.figure(figure.at) : assembled(recorded, recorded.roots[numberOf(controls, figure.at)]);
  figure.draw = () => {
    if (!plot.clientWidth) return;
    const { data, layout } = figure.shown();
    if (!figure.drawn) plot.replaceChildren();
    const shown = inked({ data, layout }, getComputedStyle(place).color), needed = Math.min(720, roomFor(data));
    plot.style.minWidth = frame.clientWidth < needed ? `${needed}px` : "";
    if (plot.style.minWidth) frame.tabIndex = 0; else frame.removeAttribute("tabindex");        // the keyboard scrolls it, too
    Plotly.react(plot, shown.data, fitted(shown.layout, plot.clientWidth, frame.clientWidth), { displayModeBar: false, responsive: true });
    plot.style.minHeight = `${layout.height ?? 450}px`;
    if (!figure.drawn++) {
      if (recorded.clicks) plot.on("plotly_click", event => clicked(figure, recorded.clicks, event));
      computed?.attach?.(figure, plot);
    }
  };
  figure.set = (values, remember = true) => {
    Object.assign(figure.at, values);
    for (const control of controls) figure.widgets[control.name].show(figure.at[control.name]);
    figure.draw();
    if (remember) history.replaceState(null, "", controls.length ? addressOf(figure, start) : `#${place.id}`);
  };
  figure.reset = () => figure.set(start);

  if (controls.length) place.prepend(controlBar(figure, recorded));
  if (recorded.note || computed?.note) say(place, computed?.note ?? recorded.note);
  const coarser = Object.entries(computed ? {} : recorded.coarser ?? {});
  if (coarser.length) {
    const words = coarser.map(([name, [here, there]]) => `${name} (${here} of ${there})`).join(", ");
    say(place, `Not every value of the notebook is on this page: ${words}.`);
  }
  new IntersectionObserver((seen, observer) => {
    if (!seen.some(one => one.isIntersecting)) return;
    observer.disconnect();
    figure.draw();
  }, { rootMargin: "400px" }).observe(place);
  let width = 0;
  new ResizeObserver(() => { if (figure.drawn && plot.clientWidth !== width) { width = plot.clientWidth; figure.draw(); } }).observe(plot);
  return figure;
}

function say(place, words) {
  const note = document.createElement("p");
  note.className = "mclrec-note";
  note.textContent = words;
  place.append(note);
}

// A click on a part of the picture moves the control that names the parts.
function clicked(figure, name, event) {
  const control = figure.controls.find(one => one.name === name);
  const k = control.values.indexOf(String(event.points[0]?.customdata));
  if (k >= 0) figure.set({ [name]: k });
}

// ---- the look

const GREY = "#767676";

// Text in the book's grey takes the colour that the page writes in.
function inked(value, ink, text = false) {
  if (value === GREY) return text ? ink : value;
  if (!value || typeof value !== "object" || typeof value[0] === "number") return value;
  if (Array.isArray(value)) return value.map(part => inked(part, ink, text));
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, inked(part, ink, text || key.endsWith("font"))]));
}

// Words drawn side by side cannot shrink with the page: such a figure keeps its width and is scrolled.
function roomFor(data) {
  const longest = Math.max(0, ...data.filter(trace => trace.mode?.includes("text")).map(trace => new Set(trace.x).size));
  return longest > 4 ? 100 * longest : 0;
}

// On a narrow page the margins shrink and the title may take two lines.
function fitted(layout, width, room) {
  if (width > room) return { ...layout, autosize: true, title: { ...layout.title, x: 0, xanchor: "left" } };
  if (width > 520) return { ...layout, autosize: true };
  const { l = 60, t = 50, b = 50 } = layout.margin ?? {};
  const title = { ...layout.title };
  if (title.text) title.text = wrapped(title.text, Math.floor(width / 8));
  const lines = (title.text ?? "").split("<br>").length;
  return { ...layout, autosize: true, title: { ...title, font: { ...title.font, size: 14 } }, margin: { l: Math.min(l, 70), r: 8, t: t + 16 * (lines - 1), b } };
}

function wrapped(text, most) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const long = lines.at(-1).replace(/<[^>]*>/g, "").length + word.replace(/<[^>]*>/g, "").length > most;
    if (long && lines.at(-1)) lines.push(word); else lines.push(`${lines.pop()} ${word}`.trim());
  }
  return lines.join("<br>");
}

new MutationObserver(() => { for (const figure of Object.values(mclrec.figures)) if (figure.drawn) figure.draw(); })
  .observe(document.documentElement, { attributeFilter: ["data-theme"] });

// ---- controls

function controlBar(figure, recorded) {
  const bar = document.createElement("div");
  bar.className = "mclrec-controls";
  for (const control of figure.controls) {
    const widget = WIDGETS[control.kind](figure, control);
    widget.element.dataset.control = control.name;
    widget.show(control.start);
    figure.widgets[control.name] = widget;
    bar.append(widget.element);
  }
  if (recorded.play && figure.controls.some(({ name }) => name === recorded.play)) bar.append(playButton(figure, recorded.play));
  const reset = button("↺ reset", () => figure.reset());
  reset.classList.add("mclrec-reset");
  bar.append(reset);
  return bar;
}

function button(words, press) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  made.addEventListener("click", press);
  return made;
}

function labelled(tag, { label }) {
  const element = document.createElement("div"), name = document.createElement(tag);
  name.textContent = label;
  element.append(name);
  return { element, name };
}

let count = 0;
const WIDGETS = {
  slider: (figure, control) => rangeInput(figure, control, { min: 0, max: control.values.length - 1, step: 1 }, k => control.values[k]),
  range: (figure, control) => rangeInput(figure, control, control, x => String(+x.toFixed(3))),
  menu: (figure, control) => {
    const { element, name } = labelled("label", control), select = document.createElement("select");
    select.id = name.htmlFor = `mclrec-${++count}`;
    select.append(...control.values.map(words => new Option(words)));
    select.addEventListener("change", () => figure.set({ [control.name]: select.selectedIndex }));
    element.append(select);
    return { element, show: k => { select.selectedIndex = k; } };
  },
  buttons: (figure, control) => {
    const { element, name } = labelled("span", control), row = document.createElement("div"), group = `mclrec-${++count}`;
    name.id = `${group}-name`;
    row.className = "mclrec-choices";
    row.setAttribute("role", "radiogroup");
    row.setAttribute("aria-labelledby", name.id);
    const inputs = control.values.map((words, k) => {
      const label = document.createElement("label"), input = document.createElement("input"), text = document.createElement("span");
      Object.assign(input, { type: "radio", name: group, value: k });
      input.addEventListener("change", () => figure.set({ [control.name]: k }));
      text.textContent = words;
      label.append(input, text);
      row.append(label);
      return input;
    });
    element.append(row);
    return { element, show: k => { inputs[k].checked = true; } };
  },
};

function rangeInput(figure, control, { min, max, step }, words) {
  const { element, name } = labelled("label", control), input = document.createElement("input"), value = document.createElement("output");
  Object.assign(input, { type: "range", min, max, step, id: `mclrec-${++count}` });
  name.htmlFor = value.htmlFor = input.id;
  name.append(" ", value);
  input.addEventListener("input", () => figure.set({ [control.name]: input.valueAsNumber }));
  element.append(input);
  return { element, show: x => { input.value = x; value.textContent = words(x); input.setAttribute("aria-valuetext", words(x)); } };
}

function playButton(figure, name) {
  const { values } = figure.controls.find(control => control.name === name);
  const made = button("▶ play", () => {
    if (figure.playing) return stop();
    if (figure.at[name] === values.length - 1) figure.set({ [name]: 0 }, false);
    made.textContent = "❚❚ pause";
    figure.playing = setInterval(() => {
      if (figure.at[name] < values.length - 1) figure.set({ [name]: figure.at[name] + 1 }, false);
      if (figure.at[name] === values.length - 1) stop();
    }, 400);
  });
  function stop() {
    clearInterval(figure.playing);
    figure.playing = null;
    made.textContent = "▶ play";
  }
  made.classList.add("mclrec-play");
  return made;
}

// ---- the address: #fig-07&tau=0.1&B=8 is a figure with two of its controls moved

function addressOf(figure, start) {
  const moved = figure.controls.filter(({ name }) => figure.at[name] !== start[name]);
  const words = moved.map(({ name, values }) => `&${name}=${encodeURIComponent(values ? values[figure.at[name]] : +figure.at[name].toFixed(3))}`);
  return `#${figure.place.id}${words.join("")}`;
}

function follow(address) {
  const [id, ...words] = address.slice(1).split("&");
  const figure = mclrec.figures[id];
  if (!figure) return;
  const values = {};
  for (const word of words) {
    const [name, text] = word.split("=").map(decodeURIComponent), control = figure.controls.find(one => one.name === name);
    if (!control) continue;
    const value = control.values ? control.values.indexOf(text) : Number(text);
    if (value >= 0 || (control.kind === "range" && value >= control.min && value <= control.max)) values[name] = value;
  }
  const shut = figure.place.closest("details.mclrec-opened");
  if (shut) shut.open = true;
  figure.place.scrollIntoView();
  figure.set(values, false);
}

addEventListener("hashchange", () => follow(location.hash));

// ---- a guess: whoever unfolds an answer has chosen, and what waits for that opens, down to the next question

document.addEventListener("toggle", ({ target }) => {
  const guess = target.open && target.closest(".mclrec-guess");
  if (!guess) return;
  const all = [...document.querySelectorAll(".mclrec-guess, .mclrec-opened")], after = all.slice(all.indexOf(guess) + 1);
  for (const one of after) {
    if (one.matches(".mclrec-guess")) break;
    one.open = true;
  }
}, { capture: true });

// ---- an equation or a table wider than its place can be scrolled by keyboard, too

const widths = new ResizeObserver(changed => {
  for (const { target } of changed) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0; else target.removeAttribute("tabindex");
  }
});
addEventListener("load", async () => {
  await globalThis.MathJax?.startup.promise;
  for (const place of document.querySelectorAll('div.math, mjx-container[display="true"], .cell_output .text_html')) widths.observe(place);
});

"use strict";
// Figures that are computed in the page, for every value and not only the recorded ones: how each makes Plotly's data from mathematics.js, starting from
// the recorded figure as it stood. The numbers that only the chapter knows come with it as `fixed`.
{
  const COLORS = { encoder: "#0072B2", positive: "#009E73", negative: "#CC79A7" }, GRAY = "#767676";
  const range = (control, min, max, step, start) => ({ name: control.name, label: control.label, kind: "range", min, max, step, start });

  // ---- contrast on a plane: mclrec.figures.views.contrast_figure

  const angleOf = degrees => degrees * Math.PI / 180;

  function plane({ anchor, partner, negative, length }, rest) {
    return [anchor, partner, negative, ...rest].map(angle => [length * Math.cos(angleOf(angle)), length * Math.sin(angleOf(angle))]);
  }

  function arrows(x, step, colors, length) {
    const look = { xref: "x", yref: "y", axref: "x", ayref: "y", text: "", arrowhead: 2, arrowwidth: 2, showarrow: true };
    return x.flatMap(([x0, y0], k) => {
      const size = Math.hypot(...step[k]), long = length * Math.tanh(size / length) / Math.max(size, 1e-9);
      if (size <= 0.04 * length) return [];
      return [{ ...look, ax: x0, ay: y0, x: x0 + step[k][0] * long, y: y0 + step[k][1] * long, arrowcolor: colors[k] }];
    }).slice(0, 14);
  }

  mclrec.computed.contrast_figure = recorded => {
    const [anchor, partner, negative, length, tau, B] = recorded.controls, value = control => Number(control.values[control.start]);
    const controls = [range(anchor, -180, 180, 1, value(anchor)), range(partner, -180, 180, 1, value(partner)), range(negative, -180, 180, 1, value(negative)),
      range(length, 0.5, 4, 0.1, value(length)), range(tau, 0.1, 5, 0.05, value(tau)), B];

    function figure(at) {
      const { length, tau } = at, rest = recorded.fixed[B.values[at.B]], x = plane(at, rest);
      const { loss, shares, atAnchor, atOthers } = mathematics.oneAnchor(x[0], x[1], x.slice(2), tau);
      const { data: [points, bars], layout } = mclrec.assembled(recorded, recorded.roots[0]);
      const colors = [COLORS.encoder, COLORS.positive, ...x.slice(2).map(() => COLORS.negative)], outline = x.map((_, k) => k === 2 ? 3 : 0);
      const names = ["anchor", "partner", "the negative you move", ...rest.map(() => "a negative")];
      Object.assign(points, { x: x.map(p => p[0]), y: x.map(p => p[1]), hovertext: names });
      Object.assign(points.marker, { size: [14, ...shares.map(p => 7 + 30 * Math.sqrt(p))], color: colors });
      points.marker.line.width = outline;
      Object.assign(bars, { x: shares.map((_, k) => k), y: shares, hovertext: names.slice(1) });
      bars.marker.color = colors.slice(1);
      bars.marker.line.width = outline.slice(1);
      layout.annotations = arrows(x, [atAnchor, ...atOthers].map(step => step.map(part => -part)), colors, length);
      Object.assign(layout.shapes[0], { x0: -length, x1: length, y0: -length, y1: length });
      layout.xaxis.range = layout.yaxis.range = [-1.45 * length, 1.45 * length];
      const norm = Math.hypot(...atAnchor);
      layout.title.text = `loss ${loss.toFixed(2)}, the partner's share ${shares[0].toFixed(2)}, gradient at the anchor ${norm.toFixed(2)}`;
      return { data: [points, bars], layout };
    }

    return { controls, figure, attach: dragged,
      note: "Computed in the page: drag the anchor, the partner or the outlined negative, or use the sliders." };
  };

  // The first three points of the plane follow the pointer round the circle.
  function dragged(live, plot) {
    let held = null;
    const place = event => {
      const { left, top } = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
      return [xaxis.p2d(event.clientX - left - xaxis._offset), yaxis.p2d(event.clientY - top - yaxis._offset)];
    };
    plot.addEventListener("pointerdown", event => {
      const [x, y] = place(event), { length } = live.at;
      const away = ["anchor", "partner", "negative"].map(name => [name, Math.hypot(x - length * Math.cos(angleOf(live.at[name])), y - length * Math.sin(angleOf(live.at[name])))]);
      const [name, distance] = away.sort((a, b) => a[1] - b[1])[0];
      if (distance > 0.3 * length) return;
      held = name;
      event.preventDefault();
      event.stopPropagation();
    }, true);
    addEventListener("pointermove", event => {
      if (!held) return;
      const [x, y] = place(event);
      live.set({ [held]: Math.round(Math.atan2(y, x) * 180 / Math.PI) });
    });
    addEventListener("pointerup", () => { held = null; });
    addEventListener("pointercancel", () => { held = null; });
    plot.style.touchAction = "pan-y pinch-zoom";
  }

  // ---- scores and margins of R: `hinges` of chapter 9, drawn as mclrec.figures.views.scores_figure draws

  const REACH = [-2.2, 2.2], mean = x => x.reduce((a, b) => a + b, 0) / x.length;
  const places = count => Array.from({ length: count }, (_, k) => REACH[0] + (REACH[1] - REACH[0]) * k / (count - 1));

  function heap(scores) {
    const share = new Array(60).fill(0);
    for (const score of scores) share[Math.min(Math.max(Math.floor((score - REACH[0]) / (REACH[1] - REACH[0]) * 60), 0), 59)] += 1 / scores.length;
    return share;
  }

  mclrec.computed.hinges = recorded => {
    const [positives, negatives, spread, margins] = recorded.controls, value = control => Number(control.values[control.start]);
    const controls = [range(positives, -1.5, 1, 0.05, value(positives)), range(negatives, 0, 1, 0.05, value(negatives)), range(spread, 0, 1, 0.05, value(spread)), margins];

    function figure(at) {
      const kind = margins.values[at.margins], [P0, N0] = recorded.fixed[kind], flat = N0.flat();
      const [mP, mN] = [mean(P0), mean(flat)];
      const P = P0.map(p => (p - mP) * at.spread + mP + at.move_positives);
      const N = N0.map(row => row.map(n => (n - mN) * at.spread + mN + at.move_negatives));
      const { oMin, oMax, first, second } = mathematics.charges(P, N, kind);
      const { data, layout } = mclrec.assembled(recorded, recorded.roots[0]);
      const heaps = [heap(P), heap(N.flat())], width = REACH[1] - REACH[0], x = places(101);
      heaps.forEach((share, k) => { data[k].y = share; });
      [x.map(s => mean(oMin.map(o => Math.max(s - o, 0)))), x.map(s => mean(oMax.map(o => Math.max(o - s, 0))))].forEach((paid, k) => Object.assign(data[k + 2], { x, y: paid }));
      const batch = kind === "batch", lines = [oMin, oMax];
      layout.shapes = batch ? layout.shapes.map((shape, k) => ({ ...shape, x0: lines[k][0], x1: lines[k][0] })) : [];
      layout.annotations = batch ? layout.annotations.map((note, k) => ({ ...note, x: lines[k][0] })) : [];
      const ticks = batch ? [] : [["o<sub>min</sub>", oMin, 0.97, "#D55E00"], ["o<sub>max</sub>", oMax, 0.91, COLORS.encoder]].map(([name, x, height, color]) => ({
        type: "scatter", mode: "markers", x, y: x.map(() => height * width), yaxis: "y2", name: `${name} of each`, marker: { color, symbol: "line-ns-open", size: 9 } }));
      const [one, two] = [mean(first), mean(second.flat())];
      layout.title.text = `R = ${one.toFixed(2)} (positives) + ${two.toFixed(2)} (negatives) = ${(one + two).toFixed(2)}`;
      layout.yaxis.range = [0, Math.max(...heaps.flat()) / 0.85];
      return { data: [...data, ...ticks], layout };
    }

    return { controls, figure, note: "Computed in the page, for every position of the sliders." };
  };
}

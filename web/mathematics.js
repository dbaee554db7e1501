"use strict";
// The method's mathematics once more, in the language of the page: pure functions, numbers in, numbers out, each tested against its twin in the library
// (tests/site/test_parity.py). Vectors are arrays of numbers, a matrix is an array of rows.
globalThis.mathematics = (() => {
  const dot = (a, b) => a.reduce((sum, x, k) => sum + x * b[k], 0);
  const mean = x => x.reduce((a, b) => a + b, 0) / x.length;

  function logSoftmax(x) {
    const most = Math.max(...x), total = most + Math.log(x.reduce((sum, one) => sum + Math.exp(one - most), 0));
    return x.map(one => one - total);
  }

  // ---- Eq. 8, one term: mclrec.contrast.one_anchor

  function oneAnchor(x, partner, negatives, tau = 1) {
    const others = [partner, ...negatives], logs = logSoftmax(others.map(other => dot(other, x) / tau));
    const shares = logs.map(Math.exp), G = shares.map((share, k) => share - (k === 0));
    const atAnchor = x.map((_, axis) => others.reduce((sum, other, k) => sum + G[k] * other[axis] / tau, 0));
    return { loss: -logs[0], shares, atAnchor, atOthers: G.map(g => x.map(part => g * part / tau)) };
  }

  // ---- Eq. 12 and 13 on scores P (A,) and N (A, K): mclrec.figures.views.charges

  function charges(P, N, margins = "batch") {
    const best = N.map(row => Math.max(...row)), batch = margins === "batch";
    const worst = batch ? P.map(() => Math.min(...P)) : P, most = batch ? P.map(() => Math.max(...best)) : best;
    const oMin = P.map((_, k) => Math.min(worst[k], most[k])), oMax = P.map((_, k) => Math.max(worst[k], most[k]));
    return { oMin, oMax, first: P.map((p, k) => Math.max(p - oMin[k], 0)), second: N.map((row, k) => row.map(n => Math.max(oMax[k] - n, 0))) };
  }

  // ---- Eq. 4 on one history: mclrec.augment. `random` gives numbers from 0 to 1, in the order in which the library draws them.

  const share = (length, ratio) => Math.floor(length * ratio + 1e-9);
  const uniform = (upper, random) => Math.min(Math.floor(random() * (upper + 1)), upper);

  function shuffled(count, random) {
    const draw = Array.from({ length: count }, random);
    return [...draw.keys()].sort((a, b) => draw[a] - draw[b]);
  }

  const OPERATORS = {
    crop(items, ratio, random) {
      const kept = Math.min(Math.max(share(items.length, ratio), 1), items.length), start = uniform(items.length - kept, random);
      return items.slice(start, start + kept);
    },
    mask(items, ratio, random) {
      const hidden = new Set(shuffled(items.length, random).slice(0, share(items.length, ratio)));
      return items.map((item, k) => hidden.has(k) ? null : item);
    },
    reorder(items, ratio, random) {
      const count = share(items.length, ratio), begin = uniform(items.length - count, random), order = shuffled(count, random);
      return items.map((item, k) => k >= begin && k < begin + count ? items[begin + order[k - begin]] : item);
    },
  };

  // ---- Eq. 2, the encoder: mclrec.encoder.read_table for one history

  // erf by a series whose terms are all positive, so that nothing cancels.
  function erf(x) {
    const a = Math.abs(x);
    if (a > 6) return Math.sign(x);
    let term = a, sum = a;
    for (let n = 1; term > 1e-17 * sum; n++) { term *= 2 * a * a / (2 * n + 1); sum += term; }
    return Math.sign(x) * 2 / Math.sqrt(Math.PI) * Math.exp(-a * a) * sum;
  }

  const gelu = x => x.map(one => one / 2 * (1 + erf(one / Math.SQRT2)));
  const plus = (a, b) => a.map((x, k) => x + b[k]);

  function norm(x, { weight, bias }) {
    const m = mean(x), scale = Math.sqrt(mean(x.map(one => (one - m) ** 2)) + 1e-12);
    return x.map((one, k) => (one - m) / scale * weight[k] + bias[k]);
  }

  function linear(x, { weight, bias }) {
    return Array.from(bias, (b, row) => {
      let sum = b;
      for (let k = 0; k < x.length; k++) sum += weight[row * x.length + k] * x[k];
      return sum;
    });
  }

  // What each position takes from each before it, (T, T) a head, and what it gets of their values.
  function attention(rows, heads, d) {
    const width = d / heads;
    const shares = Array.from({ length: heads }, (_, head) => rows.map((row, t) => {
      const query = row.slice(head * width, (head + 1) * width);
      const scores = rows.slice(0, t + 1).map(other => dot(query, other.slice(d + head * width, d + (head + 1) * width)) / Math.sqrt(width));
      return logSoftmax(scores).map(Math.exp);
    }));
    const gathered = rows.map((_, t) => Array.from({ length: d }, (_, axis) =>
      shares[Math.floor(axis / width)][t].reduce((sum, p, k) => sum + p * rows[k][2 * d + axis], 0)));
    return { shares, gathered };
  }

  // The vector h of a history (item numbers, oldest first), and for each block and head the shares of attention.
  function encode(model, history) {
    const { d, n, heads, M, P } = model, items = history.slice(-n), shares = [];
    const row = (table, k) => Array.from(table.weight.subarray(k * d, (k + 1) * d));
    let x = items.map((item, t) => norm(plus(row(M, item), row(P, t)), model.norm));
    for (const block of model.blocks) {
      const { shares: taken, gathered } = attention(x.map(one => linear(one, block.QKV)), heads, d);
      shares.push(taken);
      x = x.map((one, t) => {
        const a = norm(plus(one, linear(gathered[t], block.O)), block.norm_a);
        return norm(plus(a, linear(gelu(linear(a, block.W1)), block.W2)), block.norm_y);
      });
    }
    return { h: x.at(-1), shares };
  }

  // The score of every item, the first of them number 1.
  const scores = ({ d, M, items }, h) => items.map((_, k) => dot(h, M.weight.subarray((k + 1) * d, (k + 2) * d)));

  // A model from its weights as one string: 32-bit numbers, in the order of `shapes`.
  function model({ shapes, weights, ...rest }) {
    const numbers = new Float32Array(Uint8Array.from(atob(weights), letter => letter.charCodeAt(0)).buffer), made = { ...rest, blocks: [] };
    let at = 0;
    for (const [name, shape] of shapes) {
      const size = shape.reduce((a, b) => a * b, 1), path = name.split("."), last = path.pop();
      const place = path.reduce((inside, key) => inside[key] ??= {}, made);
      place[last] = numbers.subarray(at, at += size);
    }
    return made;
  }

  return { oneAnchor, charges, share, OPERATORS, encode, scores, model, erf, logSoftmax };
})();

"use strict";
// Three minutes through the whole model, on the first page: each step puts the figure into a state and says what to see there. At any step the reader may move
// the controls herself, and go on.
{
  const STEPS = [
    [{ box: "history" }, "This is the whole model. It begins with what a shopper took, in order: the box at the left. Below the picture stand its items."],
    [{ box: "encoder" }, "One network reads a history: the encoder f. Its parameters are called θ: a table of items, one of places, and blocks of attention."],
    [{ box: "h" }, "What it gives is one vector h, for the whole history."],
    [{ box: "L_rec" }, "h is compared with all items. The item that really came next should be the likeliest; the loss L_rec tells how far that is from true."],
    [{ box: "g₁" }, "The second idea: distort the history by chance. g₁ crops it, hides some items, or shuffles a few."],
    [{ box: "g₂" }, "g₂ does so once more, in another way. Whoever it is should still be recognised."],
    [{ box: "h̃¹" }, "The same encoder reads the two distorted histories: their vectors are the first two views."],
    [{ box: "L_cl1" }, "L_cl1 asks: among all others in the batch, do the two find each other? The first cell is the partner's share, the others are strangers."],
    [{ box: "w₁" }, "The third idea: distort by learning. The augmenter w₁ is a small network with parameters of its own, φ."],
    [{ box: "z̃¹" }, "It turns the vector h̃¹ into another one, z̃¹: a learnt view."],
    [{ box: "L_cl2" }, "The learnt views should be recognised as well. L_cl2 compares three pairs, and adds them up."],
    [{ box: "R" }, "R is meant to keep the views from all becoming the same. Whether it does is a chapter of its own."],
    [{ box: "update", stage: "1: θ" }, "Now training, which takes turns. First the encoder moves, in blue. Thick arrows are the gradient on its way back: it passes through the augmenters, which stay as they are."],
    [{ box: "update", stage: "2: φ" }, "Then the augmenters move, in vermilion. The gradient ends at them: the encoder learns nothing in this stage."],
    [{ box: "update", stage: "3: θ" }, "The code that the authors released moves the encoder once more, on the same batch."],
    [{ box: "R", stage: "paper 2: φ" }, "As printed there are two stages, and R looks at the learnt views alone: fewer arrows lead to it."],
    [{ box: "L_rec" }, "When it recommends, only the upper row is used: a history goes in, a ranking comes out."],
  ];

  document.addEventListener("mclrec-ready", () => {
    const figure = mclrec.figures["fig-tour"];
    if (!figure || figure.place.querySelector(".mclrec-tour")) return;
    const bar = document.createElement("div"), words = document.createElement("p"), count = document.createElement("span");
    bar.className = "mclrec-tour";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "guided tour");
    words.setAttribute("aria-live", "polite");
    const back = mclrec.button("← back", () => go(at - 1)), next = mclrec.button("next →", () => go(at + 1));
    let at = 0;

    function go(step, draw = true) {
      at = Math.min(Math.max(step, 0), STEPS.length - 1);
      const [moved, sentence] = STEPS[at], values = { stage: "forward", ...moved };
      words.textContent = sentence;
      count.textContent = `${at + 1} of ${STEPS.length}`;
      back.disabled = at === 0;
      next.disabled = at === STEPS.length - 1;
      if (draw) figure.set(Object.fromEntries(Object.entries(values).map(([name, value]) => [name, figure.controls.find(one => one.name === name).values.indexOf(value)])), false);
    }
    document.addEventListener("keydown", event => {
      const free = event.target === document.body || bar.contains(event.target);
      if (!free || event.altKey || event.ctrlKey || event.metaKey || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      event.preventDefault();
      go(at + (event.key === "ArrowRight" ? 1 : -1));
    });
    bar.append(words, back, count, next);
    figure.place.prepend(bar);
    mclrec.tour = { go, steps: STEPS.length, get at() { return at; } };
    go(0, !location.hash);
  });
}

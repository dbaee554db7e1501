"use strict";
// Starts the talk. reveal.js neither scales nor lays out the slides: a scaled figure would miss the mouse. A slide that is too long scrolls.
const talk = new Reveal(document.querySelector(".reveal"), {
  disableLayout: true, hash: false, history: false, controls: true, progress: true, slideNumber: "c/t", transition: "none", plugins: [RevealNotes],
  keyboard: { 68: () => { const html = document.documentElement; html.dataset.theme = html.dataset.theme === "dark" ? "light" : "dark"; } },
});
talk.initialize().then(() => { window.talk_ready = true; });
// The arrow keys belong to a control while it has the focus.
document.addEventListener("keydown", event => { if (event.target.closest(".mclrec-controls") && event.key.startsWith("Arrow")) event.stopPropagation(); }, true);

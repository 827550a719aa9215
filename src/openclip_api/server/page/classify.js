// Classify: one image, the probability of each label, while the labels are typed.

import { ask, base64, chosenModel, latest } from "./api.js";
import { $, debounced, element, milliseconds, percent } from "./dom.js";
import { Pictures, SAMPLES } from "./pictures.js";

let labels = ["a dog", "a cat", "a bird", "a bicycle"];

export const pictures = new Pictures($("classify-pictures"), { multiple: false, onchange: () => update() });
const draft = $("label");
const soon = debounced(() => update(), 150);
draft.addEventListener("input", () => {
  const parts = draft.value.split(","); // a list that was pasted is taken apart too
  if (parts.length > 1) keep(parts.slice(0, -1), parts.at(-1).trimStart());
  soon();
});
draft.addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    keep([draft.value]);
  } else if (event.key === "Backspace" && !draft.value && labels.length) {
    remove(labels.length - 1);
  }
});
$("add-label").addEventListener("click", () => { keep([draft.value]); draft.focus(); });
$("template").addEventListener("input", soon);

showLabels();

export async function start() {
  if (pictures.isTouched) return update();
  await pictures.welcome(SAMPLES[1].name);
}

function keep(added, rest = "") {
  labels = [...new Set([...labels, ...added.map((label) => label.trim()).filter(Boolean)])];
  draft.value = rest;
  showLabels();
  update();
}

function remove(index) {
  labels = labels.filter((_, i) => i !== index);
  showLabels();
  draft.focus();
  update();
}

function showLabels() {
  $("labels").replaceChildren(...labels.map((label, index) =>
    element("li", {}, label, element("button",
      { class: "remove", "aria-label": `Remove ${label}`, onclick: () => remove(index) }, "×"))));
}

const update = latest($("classify-error"), async (signal) => {
  const typed = draft.value.trim();
  const all = typed && !labels.includes(typed) ? [...labels, typed] : labels;
  const [picture] = pictures.pictures;
  if (!picture || !all.length) return show([], []);
  const started = performance.now();
  const image = await base64(picture.blob);
  const json = { image, labels: all, templates: [$("template").value], ...chosenModel() };
  const { results } = await (await ask("classify", { json, signal })).json();
  show(all, results[0], milliseconds(started));
}, (error) => {
  show([], []);
  return pictures.take(error);
});

/** The rows stay where they are, in the order typed, so that bars move instead of jumping. */
function show(all, result, took) {
  const scores = new Map(result.map(({ label, ...rest }) => [label, rest]));
  const list = $("scores");
  while (list.children.length > all.length) list.lastChild.remove();
  while (list.children.length < all.length) {
    list.append(element("li", {}, element("span", { class: "name" }), element("span", { class: "value" }),
      element("span", { class: "meter", "aria-hidden": "true" })));
  }
  all.forEach((label, i) => {
    const { score, cosine } = scores.get(label);
    const row = list.children[i];
    row.children[0].textContent = label;
    row.children[1].textContent = percent(score);
    row.title = `cosine ${cosine.toFixed(6)}`;
    row.classList.toggle("best", label === result[0].label);
    row.style.setProperty("--score", score);
  });
  $("classify-status").textContent = result.length
    ? `Best: ${result[0].label}, ${percent(result[0].score)}. In ${took}.` : "";
}

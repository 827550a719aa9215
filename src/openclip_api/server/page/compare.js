// Compare: a heat map of texts by images.

import { embedPicture, embedTexts, isOfImage, latest, server } from "./api.js";
import { $, debounced, element, milliseconds, percent } from "./dom.js";
import { Pictures, SAMPLES } from "./pictures.js";
import { dot, logit, probabilities } from "./scores.js";

const WELCOME = SAMPLES.slice(0, 4);
const HINT = "For the exact cosine, point at a cell or use the arrow keys.";

let vectors = new Map(); // of texts (strings) and pictures (objects): only what is new is asked for

export const pictures = new Pictures($("compare-pictures"), { multiple: true, onchange: () => update() });
const texts = $("compare-texts");
const detail = $("compare-detail");
const status = $("compare-status");
texts.addEventListener("input", debounced(() => update()));
texts.value ||= WELCOME.map(({ text }) => text).join("\n");

export async function start() {
  vectors = new Map();
  if (pictures.isTouched) return update();
  await pictures.welcome(...WELCOME.map(({ name }) => name));
}

const update = latest($("compare-error"), async (signal) => {
  const lines = [...new Set(texts.value.split("\n").map((line) => line.trim()).filter(Boolean))];
  const started = performance.now();
  const news = lines.filter((line) => !vectors.has(line));
  const [textVectors] = await Promise.all([
    news.length ? embedTexts(news, { normalize: true, signal }) : [],
    ...pictures.pictures.map((picture) => embedOnce(picture, signal)),
  ]);
  news.forEach((line, i) => vectors.set(line, textVectors[i]));
  if (signal.aborted) return;
  const shown = pictures.pictures.filter((picture) => vectors.has(picture));
  // with one kind only, compare it with itself
  show(lines.length ? lines : shown, shown.length ? shown : lines, milliseconds(started));
});

async function embedOnce(picture, signal) {
  if (picture.error || vectors.has(picture)) return;
  try {
    vectors.set(picture, await embedPicture(picture, { normalize: true, signal }));
  } catch (error) {
    if (!isOfImage(error)) throw error;
    pictures.fail(picture, error.message); // its own fault: the others go on
  }
}

function show(rows, columns, took) {
  detail.textContent = status.textContent = "";
  if (!rows.length) return $("matrix").replaceChildren();
  const { info } = server;
  const cosines = rows.map((row) => columns.map((column) => dot(vectors.get(row), vectors.get(column))));
  const isAcross = typeof rows[0] !== typeof columns[0]; // what the model's scale was trained for
  const values = isAcross ? cosines.map((row) => row.map((cosine) => logit(cosine, info))) : cosines;
  const lowest = Math.min(...values.flat());
  const range = Math.max(...values.flat()) - lowest || 1;
  const columnScores = columns.map((_, j) => probabilities(values.map((row) => row[j]), info));

  const cell = (row, i, column, j) => {
    const value = values[i][j].toFixed(isAcross ? 1 : 2);
    const exact = `${nameOf(row)} × ${nameOf(column)}: cosine ${cosines[i][j].toFixed(6)}` +
      (isAcross ? `, scaled ${values[i][j].toFixed(3)}, ${percent(columnScores[j][i])} for this image` : "");
    const isBest = isAcross && rows.length > 1 && columnScores[j][i] === Math.max(...columnScores[j]);
    const button = element("button", { "aria-label": `${value}: ${exact}`, tabindex: i || j ? -1 : 0 }, value);
    for (const event of ["pointerenter", "focus"]) {
      button.addEventListener(event, () => { detail.textContent = exact; });
    }
    const made = element("td", { class: isBest ? "best" : null }, button);
    made.style.setProperty("--heat", (values[i][j] - lowest) / range);
    return made;
  };

  const bias = info.logit_bias ? ` plus its logit_bias, ${info.logit_bias.toFixed(2)}` : "";
  const caption = isAcross
    ? `Cosines times the model's logit_scale, ${info.logit_scale?.toFixed(2) ?? 1}${bias}. Outlined: the best text for each image.`
    : "Cosines";
  $("matrix").replaceChildren(element("table", {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, element("td", {}), ...columns.map((column) => heading(column, "col")))),
    element("tbody", {}, ...rows.map((row, i) =>
      element("tr", {}, heading(row, "row"), ...columns.map((column, j) => cell(row, i, column, j)))))));
  detail.textContent = HINT;
  status.textContent = `${rows.length} × ${columns.length} compared in ${took}`;
}

const nameOf = (item) => item.name ?? item;

function heading(item, scope) {
  const shown = item.url ? element("img", { src: item.url, alt: item.name, title: item.name }) : item;
  return element("th", { scope }, shown);
}

$("matrix").addEventListener("keydown", (event) => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  const from = event.target.closest("td");
  if (!step || !from) return;
  event.preventDefault();
  const row = $("matrix").querySelector("tbody").rows[from.parentElement.rowIndex - 1 + step[0]];
  const to = row?.querySelectorAll("td")[from.cellIndex - 1 + step[1]]?.firstChild;
  if (!to) return;
  from.firstChild.tabIndex = -1; // one stop for the tab key, where it was left
  to.tabIndex = 0;
  to.focus();
});

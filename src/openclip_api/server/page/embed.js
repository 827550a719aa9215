// Embed: one vector, to look at, to take along, and the request that gives it.

import { embedPicture, embedTexts, latest } from "./api.js";
import { requests } from "./code.js";
import { $, copyButton, debounced, element, facts, milliseconds } from "./dom.js";
import { save } from "./npy.js";
import { Pictures, SAMPLES } from "./pictures.js";
import { norm } from "./scores.js";

let vector = null;
const wantsImage = document.querySelector("[name=kind][value=image]");

export const pictures = new Pictures($("embed-pictures"), { multiple: false, onchange: () => update() });
const text = $("embed-text");
text.addEventListener("input", debounced(() => update()));
$("normalize").addEventListener("change", () => update());
for (const radio of document.getElementsByName("kind")) radio.addEventListener("change", change);
copyButton($("copy-vector"), () => JSON.stringify(vector));
$("save-vector").addEventListener("click", () => save(vector, "embedding.npy"));

/** For an image that is pasted while a text is shown. */
export function showImage() {
  wantsImage.checked = true;
  showPart();
}

function showPart() {
  $("embed-text-part").hidden = wantsImage.checked;
  $("embed-pictures").hidden = !wantsImage.checked;
}

function change() {
  showPart();
  if (wantsImage.checked && !pictures.isTouched) return pictures.welcome(SAMPLES[0].name);
  return update();
}

export { update as start };

const update = latest($("embed-error"), async (signal) => {
  const [picture] = wantsImage.checked ? pictures.pictures : [];
  const normalize = $("normalize").checked;
  const started = performance.now();
  if (wantsImage.checked && !picture) return show(null);
  showCode(picture ?? text.value, normalize);
  const options = { normalize, signal };
  show(picture ? await embedPicture(picture, options) : (await embedTexts([text.value], options))[0], started);
}, (error) => {
  show(null);
  return wantsImage.checked && pictures.take(error);
});

function show(answer, started) {
  vector = answer;
  $("vector").hidden = !vector;
  $("embed-status").textContent = vector ? `Embedded in ${milliseconds(started)}.` : "";
  if (!vector) return;
  facts($("vector-facts"), [["Dimension", vector.length], ["Norm", norm(vector).toFixed(6)]]);
  draw();
  const few = vector.slice(0, 4).map((value) => value.toFixed(4)).join(", ");
  $("vector-preview").textContent = `[${few}, … ${vector.length - 4} more]`;
}

/** A bar for each dimension, up or down from the middle. */
function draw() {
  const highest = Math.max(...vector.map(Math.abs)) || 1;
  const bars = vector.map((value, i) => `M${i} 50h.8v${(-48 * value) / highest}h-.8z`);
  const svg = $("vector-picture");
  svg.setAttribute("viewBox", `0 0 ${vector.length} 100`);
  svg.setAttribute("aria-label", `The ${vector.length} numbers as bars, the largest ${highest.toFixed(3)}`);
  svg.firstElementChild.setAttribute("d", bars.join(""));
}

function showCode(asked, normalize) {
  const opened = $("code").querySelector("details[open]")?.dataset.language ?? "curl";
  $("code").replaceChildren(...requests(asked, normalize).map(({ language, code }) => {
    const pre = element("pre", { tabindex: 0, "aria-label": `The request in ${language}` }, code);
    const copy = copyButton(element("button", {}, "Copy"), () => code);
    return element("details", { name: "code", "data-language": language, open: language === opened },
      element("summary", {}, `The same request in ${language}`), element("div", { class: "code" }, pre, copy));
  }));
}

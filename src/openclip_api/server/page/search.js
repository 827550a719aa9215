// Search: the nearest images of the server's store, where it has one.

import { ask, base64, chosenModel, latest } from "./api.js";
import { $, debounced, element, milliseconds } from "./dom.js";
import { Pictures } from "./pictures.js";

const COUNT = 24;

let urls = []; // of the thumbnails that are shown

export const pictures = new Pictures($("search-pictures"), { multiple: false, onchange: () => {
  if (pictures.pictures.length) text.value = "";
  return start();
} });
const text = $("search-text");
text.addEventListener("input", debounced(() => {
  if (text.value && pictures.pictures.length) pictures.empty(); // asks as well
  else start();
}));

export const start = latest($("search-error"), async (signal) => {
  const [picture] = pictures.pictures;
  const started = performance.now();
  if (!picture && !text.value.trim()) return show([]);
  const query = picture ? { image: await base64(picture.blob) } : { text: text.value };
  const json = { ...query, k: COUNT, ...chosenModel() };
  const { results } = await (await ask("search", { json, signal })).json();
  show(results, signal);
  $("search-status").textContent = `${results.length} found in ${milliseconds(started)}`;
}, (error) => {
  show([]);
  return pictures.take(error);
});

function show(results, signal) {
  urls.forEach(URL.revokeObjectURL);
  urls = [];
  $("search-status").textContent = "";
  $("results").replaceChildren(...results.map((row) => {
    const image = element("img", { alt: "" });
    const button = element("button", { title: row.id }, image,
      element("span", { class: "name" }, row.id), element("span", { class: "hint" }, row.score.toFixed(4)));
    thumbnail(row.id, signal).then((blob) => {
      urls.push(image.src = URL.createObjectURL(blob));
      button.addEventListener("click", () => pictures.add([new File([blob], row.id, { type: blob.type })]));
    }).catch(() => { // a text, or a file that is gone
      image.remove();
      button.disabled = true;
    });
    return element("li", {}, button);
  }));
}

/** Fetched, not linked to: a key may be wanted for it. */
async function thumbnail(id, signal) {
  const path = id.split("/").map(encodeURIComponent).join("/");
  return (await ask(`items/${path}/thumbnail`, { signal })).blob();
}

// Search: the nearest rows of the server's store. What is asked, page after page as one scrolls.

import { ask, base64, chosenModel, latest, server } from "./api.js";
import { $, debounced, element, milliseconds } from "./dom.js";
import { Filters } from "./filters.js";
import { Pictures } from "./pictures.js";
import { card, forget, openedBy } from "./results.js";

const COUNT = 24;

let like = null; // the row that results are to be like
let next = null; // {query, offset, signal} of the page after those that are shown
let isAsking = false;

export const pictures = new Pictures($("search-pictures"), { multiple: false, onchange: () => {
  if (pictures.pictures.length) only("image");
  return start();
} });
const text = $("search-text");
const filters = new Filters($("search-filters"), () => start());
const changed = debounced(() => start());

text.addEventListener("input", () => {
  if (text.value) only("text");
  changed();
});
for (const id of ["search-minus", "search-under"]) $(id).addEventListener("input", changed);
$("search-copies").addEventListener("change", () => start());
$("search-like").addEventListener("click", () => {
  only("text");
  start();
  text.focus();
});
$("search-more").addEventListener("click", () => more());
new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && more(), { rootMargin: "400px" })
  .observe($("search-more"));

openedBy((row) => { // "Find similar"
  like = row;
  only("like");
  start();
  $("search-like").focus();
});

/** A text, an image or a row is looked for, one at a time. */
function only(kind) {
  if (kind !== "text") text.value = "";
  if (kind !== "like") like = null;
  if (kind !== "image" && pictures.pictures.length) pictures.empty();
  $("search-like").hidden = !like;
  $("search-like").textContent = like ? `Like ${like.name} ×` : "";
}

export const start = latest($("search-error"), async (signal) => {
  $("search-there").hidden = !server.info.store;
  $("search-none").hidden = server.info.store;
  if (!server.info.store) return;
  const facts = await (await ask("search", { signal })).json();
  filters.offer(facts.columns);
  $("search-roots").replaceChildren(...facts.roots.map((name) => element("option", { value: name })));
  $("search-none").hidden = facts.rows > 0;
  show();
  const query = await asked();
  if (!query) {
    const where = facts.roots.length ? ` from ${facts.roots.join(", ")}` : "";
    $("search-status").textContent = facts.rows ? `${facts.rows.toLocaleString("en")} to search${where}` : "";
    return;
  }
  next = { query, offset: 0, signal };
  await askPage();
}, (error) => {
  show();
  return pictures.take(error);
});

/** The body of the request, null while there is nothing to look for. */
async function asked() {
  const [picture] = pictures.pictures;
  const minus = $("search-minus").value.trim();
  if (!picture && !like && !text.value.trim()) return null;
  const wanted = picture ? { image: await base64(picture.blob) } : like ? { id: like.id } : { text: text.value };
  const under = $("search-under").value.trim();
  return {
    ...(minus ? { parts: [wanted, { text: minus, weight: -1 }] } : wanted),
    filter: filters.asked,
    fold: !$("search-copies").checked,
    ...(under && { under }),
    ...chosenModel(),
  };
}

async function askPage() {
  const { query, offset, signal } = next;
  const started = performance.now();
  isAsking = true;
  next = null;
  try {
    const { results, more } = await (await ask("search", { json: { ...query, k: COUNT, offset }, signal })).json();
    if (signal.aborted) return;
    $("results").append(...results.map((row) => card(row, signal)));
    if (more) next = { query, offset: offset + COUNT, signal };
    $("search-more").hidden = !more;
    const found = `${offset + results.length}${more ? " or more" : ""} found`;
    $("search-status").textContent = offset ? found : `${found} in ${milliseconds(started)}`;
  } finally {
    isAsking = false;
  }
}

async function more() {
  if (!next || isAsking) return;
  const here = next;
  try {
    await askPage();
  } catch (error) {
    if (error.name === "AbortError") return;
    $("search-error").textContent = error.message;
    next = here;
  }
}

function show() {
  next = null;
  forget();
  $("results").replaceChildren();
  $("search-status").textContent = "";
  $("search-more").hidden = true;
}

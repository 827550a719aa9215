// A result of a search, and the picture at full size. Images are fetched, not linked to: a key may be wanted for them.

import { ask } from "./api.js";
import { $, element, facts } from "./dom.js";

const dialog = $("picture");
const OWN = new Set(["id", "name", "folder", "has_file", "bytes", "modified", "taken", "width", "height", "score", "copies"]);

let urls = []; // of the thumbnails that are shown
let full = null; // the URL of the picture that is shown
let loading = new AbortController();
let shown = null; // its row
let similar = () => {};

/** find(row): what "Find similar" does. */
export function openedBy(find) {
  similar = find;
}

/** Frees the thumbnails of the cards so far. */
export function forget() {
  urls.forEach(URL.revokeObjectURL);
  urls = [];
}

export function card(row, signal) {
  const image = row.has_file ? element("img", { alt: "" }) : "";
  const copies = row.copies ? element("span", { class: "copies" }, `+${row.copies} ${row.copies > 1 ? "copies" : "copy"}`) : "";
  const button = element("button", { title: `${row.folder}/${row.name}`, disabled: !row.has_file, onclick: () => open(row) },
    image, element("span", { class: "name" }, row.name), element("span", { class: "hint" }, row.folder),
    element("span", { class: "hint" }, element("span", { class: "score" }, row.score.toFixed(4)), " ", copies));
  if (row.has_file) thumbnail(row, image, signal);
  return element("li", {}, button);
}

async function thumbnail(row, image, signal) {
  try {
    const blob = await (await ask(address(row, "thumbnail"), { signal })).blob();
    urls.push(image.src = URL.createObjectURL(blob));
  } catch { // the file is gone
    image.remove();
  }
}

function address({ id }, what) {
  return `items/${id.split("/").map(encodeURIComponent).join("/")}/${what}`;
}

async function open(row) {
  shown = row;
  loading = new AbortController();
  $("picture-name").textContent = row.name;
  $("picture-folder").textContent = row.folder;
  $("picture-error").textContent = "";
  $("picture-image").hidden = $("picture-open").hidden = $("picture-save").hidden = true;
  facts($("picture-facts"), told(row));
  dialog.showModal();
  try {
    const { signal } = loading;
    const blob = await (await ask(address(row, "file"), { signal })).blob();
    if (signal.aborted) return;
    full = URL.createObjectURL(blob);
    Object.assign($("picture-image"), { src: full, hidden: false });
    Object.assign($("picture-open"), { href: full, hidden: false });
    Object.assign($("picture-save"), { href: full, download: row.name, hidden: false });
  } catch (error) {
    if (error.name !== "AbortError") $("picture-error").textContent = error.message;
  }
}

function told(row) {
  const time = (value) => value.replace("T", " ").replace(/(\.\d+)?(\+00:00|Z)?$/, "");
  const pairs = [
    ["Size", row.width && `${row.width} × ${row.height}`],
    ["File", row.bytes && (row.bytes < 1e6 ? `${Math.ceil(row.bytes / 1e3)} kB` : `${(row.bytes / 1e6).toFixed(1)} MB`)],
    ["Taken", row.taken && time(row.taken)],
    ["Changed", row.modified && `${time(row.modified)} UTC`],
    ["Copies", row.copies],
    ...Object.entries(row).filter(([name]) => !OWN.has(name)).map(([name, value]) =>
      [name, value !== null && (typeof value === "object" ? JSON.stringify(value) : String(value))]),
  ];
  return pairs.filter(([, value]) => value);
}

$("picture-image").addEventListener("error", () => {
  $("picture-image").hidden = true;
  $("picture-error").textContent = "This browser cannot show this image. Download it instead.";
});
$("picture-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
dialog.addEventListener("close", () => {
  loading.abort();
  $("picture-image").removeAttribute("src");
  if (full) URL.revokeObjectURL(full);
  full = null;
});
$("picture-similar").addEventListener("click", () => {
  dialog.close();
  similar(shown);
});

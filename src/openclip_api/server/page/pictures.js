// Where images come in: dropped, pasted, picked, or one of the samples. Each shows its own error.

import { isOfImage } from "./api.js";
import { element } from "./dom.js";

export const SAMPLES = [
  ["penguin", "a penguin"], ["dog-face", "a dog"], ["pizza", "a slice of pizza"], ["sunflower", "a sunflower"],
  ["umbrella", "an umbrella"], ["snowman", "a snowman"], ["airplane", "a plane"], ["soccer-ball", "a football"],
].map(([name, text]) => ({ name: `${name}.png`, text }));

/** pictures: [{name, blob, url, error}], the last given alone where it is not `multiple`; isTouched: ever changed. */
export class Pictures {
  constructor(root, { multiple, onchange }) {
    Object.assign(this, { multiple, onchange, pictures: [], isTouched: false });
    const input = element("input", { type: "file", multiple, class: "offscreen" });
    input.addEventListener("change", () => {
      this.add(input.files);
      input.value = ""; // the same file again is a change too
    });
    this.tray = element("ul", { class: "tray", "aria-label": multiple ? "Images so far" : "The image" });
    this.clear = element("button", { class: "quiet", onclick: () => {
      this.empty();
      input.focus();
    } }, "Remove all");
    root.classList.add("pictures");
    root.append(
      element("p", { class: "label" }, multiple ? "Images" : "Image"),
      element("div", { class: "drop" },
        element("label", { class: "button" }, multiple ? "Choose images" : "Choose an image", input),
        element("span", { class: "hint" }, "or drop or paste"), this.clear),
      this.tray,
      element("div", { class: "samples", role: "group", "aria-label": "Samples" },
        element("span", { class: "hint", "aria-hidden": "true" }, "Samples"), ...SAMPLES.map(({ name, text }) =>
          element("button", { title: text, onclick: async () => this.add([await sample(name)]) },
            element("img", { src: `page/samples/${name}`, alt: text, width: 28, height: 28 })))));
    root.addEventListener("dragover", (event) => { event.preventDefault(); root.classList.add("over"); });
    root.addEventListener("dragleave", () => root.classList.remove("over"));
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      root.classList.remove("over");
      this.add(event.dataTransfer.files);
    });
    this.#show();
  }

  /** Files or blobs; nothing given, nothing changes. */
  add(files) {
    if (!files.length) return;
    const added = [...files].map((blob) => ({ name: blob.name ?? "image", blob, url: URL.createObjectURL(blob) }));
    this.#set(this.multiple ? [...this.pictures, ...added] : added.slice(-1));
  }

  /** Samples to begin with, unless something else came meanwhile. */
  async welcome(...names) {
    const files = await Promise.all(names.map(sample));
    if (!this.isTouched) this.add(files);
  }

  remove(picture) {
    this.#set(this.pictures.filter((kept) => kept !== picture));
  }

  empty() {
    this.#set([]);
  }

  fail(picture, message) {
    picture.error = message;
    this.#show();
  }

  /** An error that is the only image's fault is shown there. Whether it is. */
  take(error) {
    const isOurs = this.pictures.length > 0 && isOfImage(error);
    if (isOurs) this.fail(this.pictures[0], error.message);
    return isOurs;
  }

  #set(pictures) {
    for (const gone of this.pictures.filter((picture) => !pictures.includes(picture))) URL.revokeObjectURL(gone.url);
    this.pictures = pictures;
    this.isTouched = true;
    this.#show();
    this.onchange();
  }

  #show() {
    this.clear.hidden = this.pictures.length < 2;
    this.tray.replaceChildren(...this.pictures.map((picture) => {
      const remove = element("button", {
        class: "remove", "aria-label": `Remove ${picture.name}`,
        onclick: () => {
          const index = this.pictures.indexOf(picture);
          this.remove(picture);
          const buttons = this.tray.querySelectorAll("button"); // focus stays near where it was
          (buttons[Math.min(index, buttons.length - 1)] ?? this.tray.parentElement.querySelector("input")).focus();
        },
      }, "×");
      const error = picture.error && element("p", { class: "error", role: "alert" }, picture.error);
      return element("li", { class: picture.error ? "failed" : null },
        element("img", { src: picture.url, alt: "", onerror: ({ target }) => { target.src = "page/icon.svg"; } }),
        element("span", { class: "name", title: picture.name }, picture.name), remove, ...(error ? [error] : []));
    }));
  }
}

async function sample(name) {
  const blob = await (await fetch(`page/samples/${name}`)).blob();
  return new File([blob], name, { type: blob.type });
}

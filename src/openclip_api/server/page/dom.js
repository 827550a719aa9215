// Elements are made with the DOM's own functions: a file's name or a text is never read as HTML.

export const $ = (id) => document.getElementById(id);

/** element("li", {class: "chip", onclick}, "a text", another) */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Name and value pairs → the content of a <dl>. */
export function facts(list, pairs) {
  list.replaceChildren(...pairs.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

/** Calls `work` once nothing has asked for it during `pause` milliseconds. */
export function debounced(work, pause = 250) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, pause);
  };
}

/** A button that copies what `text()` gives, and says so. */
export function copyButton(button, text) {
  const name = button.textContent;
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text())) ? "Copied" : "Not copied: the browser does not allow it";
    setTimeout(() => { button.textContent = name; }, 2000);
  });
  return button;
}

async function copied(text) {
  if (navigator.clipboard) { // not there over plain HTTP from another machine
    return navigator.clipboard.writeText(text).then(() => true, () => false);
  }
  const area = element("textarea", { class: "offscreen" });
  const focused = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}

export const percent = (part) => `${(100 * part).toFixed(1)} %`;
export const milliseconds = (since) => `${Math.round(performance.now() - since)} ms`;

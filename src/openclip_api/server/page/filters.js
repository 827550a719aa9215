// What narrows a search, by the columns that the store has.

import { element } from "./dom.js";

const WORDS = {
  text: [["eq", "is"], ["ne", "is not"]],
  number: [["eq", "="], ["ne", "≠"], ["lt", "<"], ["le", "≤"], ["gt", ">"], ["ge", "≥"]],
  time: [["ge", "from"], ["lt", "before"], ["eq", "on"], ["gt", "after"], ["le", "until"]],
  boolean: [["eq", "is"]],
};
const HINTS = { text: "a word", number: "a number", time: "2021-06-30", boolean: "true or false" };

export class Filters {
  constructor(root, onchange) {
    Object.assign(this, { onchange, columns: {}, conditions: [] });
    this.column = element("select", { "aria-label": "Column", onchange: () => this.#words() });
    this.word = element("select", { "aria-label": "Comparison" });
    this.value = element("input", { "aria-label": "Value", autocomplete: "off" });
    this.error = element("p", { class: "error", role: "alert" });
    this.chips = element("ul", { class: "chips", "aria-label": "Filters so far" });
    const form = element("form", { class: "row filter", onsubmit: (event) => {
      event.preventDefault();
      this.#add();
    } }, this.column, this.word, this.value, element("button", {}, "Add"));
    root.append(form, this.error, this.chips);
  }

  /** columns: the name of each, and what its values are. */
  offer(columns) {
    if (JSON.stringify(columns) === JSON.stringify(this.columns)) return;
    this.columns = columns;
    this.column.replaceChildren(...Object.keys(columns).map((name) => element("option", {}, name)));
    this.#words();
  }

  /** As POST /search takes it. */
  get asked() {
    const filter = {};
    for (const { name, word, value } of this.conditions) (filter[name] ??= {})[word] = value;
    return filter;
  }

  #words() {
    const kind = this.columns[this.column.value];
    if (!kind) return;
    this.word.replaceChildren(...WORDS[kind].map(([value, shown]) => element("option", { value }, shown)));
    this.value.placeholder = HINTS[kind];
    this.value.inputMode = kind === "number" ? "decimal" : "text";
  }

  #add() {
    const name = this.column.value;
    const kind = this.columns[name];
    const value = parsed(this.value.value.trim(), kind);
    this.error.textContent = value === null ? `${name}: enter ${HINTS[kind]}.` : "";
    if (value === null) return;
    const word = this.word.value;
    const same = (condition) => condition.name === name && condition.word === word;
    this.conditions = [...this.conditions.filter((condition) => !same(condition)), { name, word, value }];
    this.value.value = "";
    this.#show();
  }

  #show() {
    this.chips.replaceChildren(...this.conditions.map((condition) => {
      const words = WORDS[this.columns[condition.name]] ?? [];
      const told = `${condition.name} ${words.find(([word]) => word === condition.word)?.[1] ?? ""} ${condition.value}`;
      return element("li", {}, told, element("button", { class: "remove", "aria-label": `Remove ${told}`, onclick: () => {
        this.conditions = this.conditions.filter((kept) => kept !== condition);
        this.#show();
        this.value.focus();
      } }, "×"));
    }));
    this.onchange();
  }
}

/** null where the text is no value of this kind. */
function parsed(text, kind) {
  if (!text) return null;
  if (kind === "number") return Number.isFinite(Number(text)) ? Number(text) : null;
  if (kind === "boolean") return { true: true, false: false }[text.toLowerCase()] ?? null;
  return text;
}

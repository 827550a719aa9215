// The API: every route of openapi.json, with a form to try it.

import { ask, raw, server } from "./api.js";
import { curl } from "./code.js";
import { $, copyButton, element, milliseconds } from "./dom.js";

const LONGEST_SHOWN = 4000; // characters of an answer

let schema = null;

export async function start() {
  if (schema) return;
  try {
    schema = await (await ask("openapi.json")).json();
  } catch (error) {
    $("api-error").textContent = error.message;
    return;
  }
  $("api-error").textContent = "";
  const byTag = new Map();
  for (const [path, operations] of Object.entries(schema.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags?.[0] ?? "other";
      byTag.set(tag, [...(byTag.get(tag) ?? []), route(method.toUpperCase(), path, operation)]);
    }
  }
  const tags = [...byTag.keys()].filter((tag) => tag !== "status"); // of least interest here
  $("routes").replaceChildren(...[...tags, "status"].flatMap((tag) => [element("h3", {}, tag), ...byTag.get(tag)]));
}

function route(method, path, operation) {
  const details = element("details", { class: "route" }, element("summary", {},
    element("span", { class: `method ${method.toLowerCase()}` }, method),
    element("code", {}, path), element("span", { class: "hint" }, operation.summary)));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(trial(method, path, operation));
  });
  return details;
}

function trial(method, path, operation) {
  const inputs = (operation.parameters ?? []).map(({ name, in: place }) => ({ name, place, ...field(name) }));
  const content = operation.requestBody?.content ?? {};
  const schemaOfJson = content["application/json"]?.schema;
  const json = schemaOfJson && field("Body",
    element("textarea", { rows: 6, class: "code" }, JSON.stringify(example(schemaOfJson), null, 2)));
  const form = formFields(content["multipart/form-data"]?.schema);
  const answer = element("pre", { tabindex: 0, hidden: true, "aria-label": "Answer" });
  const status = element("p", { class: "hint", role: "status" });
  const send = element("button", { class: "primary" }, "Send");
  send.addEventListener("click", async () => {
    const started = performance.now();
    try {
      const response = await raw(address(path, inputs), { method, ...body(json, form) });
      const text = await response.text();
      status.textContent = `${response.status} ${response.statusText}, ${milliseconds(started)}`;
      answer.textContent = readable(text);
      answer.hidden = !text;
    } catch (error) {
      status.textContent = error.message;
      answer.hidden = true;
    }
  });
  const copy = copyButton(element("button", {}, "Copy as curl"), () => {
    const url = new URL(address(path, inputs), new URL(".", location.href)).href;
    const fields = form.map(({ name, input }) => [name, input.files?.[0]?.name, input.value]).filter(([, , set]) => set);
    return curl({ method, url, text: json?.input.value, form: fields }, server.needsKey);
  });
  return element("div", { class: "trial" },
    element("p", {}, operation.description ?? ""),
    ...inputs.map(({ part }) => part), ...(json ? [json.part] : []), ...form.map(({ part }) => part),
    element("div", { class: "row" }, send, copy), status, answer);
}

function field(name, input = element("input", { autocomplete: "off" })) {
  return { input, part: element("label", { class: "field" }, name, input) };
}

function formFields(schema) {
  return Object.entries(schema?.properties ?? {}).map(([name, property]) => {
    const made = field(name, property.format === "binary" ? element("input", { type: "file" }) : undefined);
    if (property.examples) made.input.value = property.examples[0];
    return { name, ...made };
  });
}

function body(json, form) {
  if (json) return { body: json.input.value, headers: { "Content-Type": "application/json" } };
  if (!form.length) return {};
  const data = new FormData();
  for (const { name, input } of form) {
    const value = input.files ? input.files[0] : input.value;
    if (value) data.append(name, value);
  }
  return { body: data };
}

/** The path with its parameters in it, relative to the page. */
function address(path, inputs) {
  const query = new URLSearchParams();
  for (const { name, place, input } of inputs) {
    if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(name, input.value);
  }
  return `.${path}${query.size ? `?${query}` : ""}`;
}

/** JSON with each vector cut short, or another text as it is. */
function readable(text) {
  try {
    const shorter = (_, value) => Array.isArray(value) && value.length > 6 && value.every(Number.isFinite)
      ? `⟨${value.slice(0, 4).join(", ")}, … ${value.length - 4} more⟩` : value;
    text = JSON.stringify(JSON.parse(text), shorter, 2).replaceAll('"⟨', "[").replaceAll('⟩"', "]");
  } catch { /* no JSON: the metrics, say */ }
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)} …` : text;
}

/** A value that the schema takes: what must be there, what has an example, and a text. */
function example(schema, name) {
  if (schema.$ref) return example(schemaAt(schema.$ref), name);
  if (schema.examples) return schema.examples[0];
  if (schema.anyOf) return example(schema.anyOf[0], name);
  if (schema.enum) return schema.enum[0];
  if (schema.type === "array") return [example(schema.items, name)];
  if (schema.type !== "object") return schema.default ?? (name === "text" ? "red sofa" : "");
  const wanted = Object.entries(schema.properties ?? {}).filter(([key, property]) =>
    schema.required?.includes(key) || property.examples || key === "text");
  return Object.fromEntries(wanted.map(([key, property]) => [key, example(property, key)]));
}

function schemaAt(reference) {
  return reference.slice(2).split("/").reduce((place, part) => place[part], schema);
}

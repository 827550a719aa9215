// The request that the page just sent, as a program would send it.

import { chosenModel, imageType, server } from "./api.js";

/** asked: a text or a picture → [{language, code}] */
export function requests(asked, normalize) {
  const { needsKey } = server;
  const url = new URL("embeddings", location.href).href;
  const options = { ...(normalize && { normalize }), ...chosenModel() };
  const call = typeof asked === "string" ? textCall(asked, options, url) : pictureCall(asked, options, url);
  return [
    { language: "curl", code: curl({ ...call, text: call.body && JSON.stringify(call.body) }, needsKey) },
    { language: "Python", code: python(call, needsKey) },
    { language: "JavaScript", code: javascript(call, needsKey) },
  ];
}

function textCall(text, options, url) {
  return { url, type: "application/json", body: { text, ...options } };
}

function pictureCall(picture, options, url) {
  const query = new URLSearchParams(options);
  return { url: query.size ? `${url}?${query}` : url, type: imageType(picture), file: picture.name };
}

/** text: a JSON body; file: the name of one that is the body; form: [name, file's name or nothing, value] */
export function curl({ method = "POST", url, type = "application/json", text, file, form = [] }, needsKey) {
  const parts = [`curl ${quoted(url)}`];
  if (method !== "POST") parts[0] += method === "GET" ? "" : ` -X ${method}`;
  if (needsKey) parts.push(`-H "Authorization: Bearer $API_KEY"`);
  if (text ?? file) parts.push(`-H 'Content-Type: ${type}'`);
  if (text) parts.push(`-d ${quoted(text)}`);
  if (file) parts.push(`--data-binary ${quoted(`@${file}`)}`);
  for (const [name, upload, value] of form) parts.push(`-F ${quoted(`${name}=${upload ? `@${upload}` : value}`)}`);
  return parts.join(" \\\n     ");
}

function python({ url, type, body, file }, needsKey) {
  const headers = [`"Content-Type": "${type}"`];
  if (needsKey) headers.push(`"Authorization": f"Bearer {os.environ['API_KEY']}"`);
  const data = file ? `data=open(${JSON.stringify(file)}, "rb")` : `json=${pythonLiteral(body)}`;
  return `${needsKey ? "import os\n\n" : ""}import requests

answer = requests.post(
    ${JSON.stringify(url)},
    headers={${headers.join(", ")}},
    ${data},
)
answer.raise_for_status()
vector = answer.json()["embeddings"][0]`;
}

function javascript({ url, type, body, file }, needsKey) {
  const key = needsKey ? ", Authorization: `Bearer ${process.env.API_KEY}`" : "";
  const data = file ? `await readFile(${JSON.stringify(file)})` : `JSON.stringify(${JSON.stringify(body)})`;
  return `${file ? `import { readFile } from "node:fs/promises";\n\n` : ""}const answer = await fetch(${JSON.stringify(url)}, {
  method: "POST",
  headers: { "Content-Type": "${type}"${key} },
  body: ${data},
});
if (!answer.ok) throw new Error(await answer.text());
const [vector] = (await answer.json()).embeddings;`;
}

/** A JSON object of strings and booleans as Python writes it. */
function pythonLiteral(body) {
  const pairs = Object.entries(body).map(([name, value]) =>
    `"${name}": ${value === true ? "True" : value === false ? "False" : JSON.stringify(value)}`);
  return `{${pairs.join(", ")}}`;
}

/** For a POSIX shell: nothing inside single quotes means anything but a single quote. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

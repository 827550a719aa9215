// The top of the page: whether the model is ready, and which one it is.

import { ApiError, ask, chosenModel, raw, server } from "./api.js";
import { $, element, facts } from "./dom.js";

const PAUSE = 1000; // milliseconds between two looks at /ready
const MEGABYTE = 1e6;

/** Ends once the model answers; shows how far it is meanwhile. */
export async function untilReady() {
  $("server").hidden = false;
  for (;;) {
    try {
      const response = await raw("ready");
      const status = await response.json();
      show(status);
      if (status.status === "ready") return;
    } catch (error) {
      show({ status: "unreachable", message: error instanceof ApiError ? error.message : "The server gave no answer." });
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

function show({ status, stage, progress, message }) {
  const text = {
    ready: "Ready",
    loading: `Loading the model: ${stage}`,
    stopping: "The server is stopping.",
  }[status] ?? message;
  $("server").dataset.status = status;
  if ($("state").textContent !== text) $("state").textContent = text; // said aloud once, not each second
  const { bytes, total_bytes: total } = progress ?? { total_bytes: 0 };
  $("download").hidden = total < MEGABYTE; // the configuration is there at once
  if (total) {
    Object.assign($("progress"), { max: total, value: bytes });
    $("megabytes").textContent = `${Math.round(bytes / MEGABYTE)} of ${Math.round(total / MEGABYTE)} MB`;
  }
}

/** Asks which model it is, and shows it. Throws ApiError. */
export async function showModel(onpick) {
  const info = await (await ask(`info?${new URLSearchParams(chosenModel() ?? {})}`)).json();
  server.info = info;
  for (const input of document.querySelectorAll("[type=file]")) input.accept = info.limits.image_accept;
  facts($("facts"), [
    ["Model", info.models.length > 1 ? picker(info, onpick) : info.model_id],
    ["Dimension", info.embed_dim],
    ["Precision", info.precision],
    ["Device", `${info.device}, ${info.engine}`],
    ["Fingerprint", element("code", {}, info.fingerprint)],
  ]);
  $("facts").hidden = false;
  $("advice").hidden = info.name !== "emoji";
}

function picker(info, onpick) {
  const select = element("select", { "aria-label": "Model" },
    ...info.models.map((name) => element("option", { selected: name === (server.model ?? info.models[0]) }, name)));
  select.addEventListener("change", () => {
    server.model = select.value;
    onpick();
  });
  return select;
}

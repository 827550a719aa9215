// The one way to the server. Addresses are relative: the page works below a proxy's prefix as well.

/** "key": a key is wanted; "changed": the model is not the one the page knows, or not there any more. */
export const events = new EventTarget();

/** info: what /info answered; model: the one picked of several, else null; needsKey: whether one was asked for. */
export const server = { info: null, model: null, needsKey: false };

/** What a request says of the model: nothing where there is one alone. */
export const chosenModel = () => server.model && { model: server.model };

let key = null; // in memory only: a reload forgets it

export function useKey(value) {
  key = value;
}

export class ApiError extends Error {
  constructor(status, message, param) {
    super(message);
    Object.assign(this, { status, param });
  }
}

/** An answer with an error's status is thrown as ApiError, in the server's words. */
export async function ask(path, options = {}) {
  const response = await raw(path, options).catch((error) => {
    if (error.name !== "AbortError") events.dispatchEvent(new Event("changed"));
    throw error;
  });
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  if (response.status === 401) events.dispatchEvent(new Event("key"));
  if (error?.type === "not_ready" || error?.param === "If-Match") events.dispatchEvent(new Event("changed"));
  throw new ApiError(response.status, error?.message ?? `The server answered ${response.status}.`, error?.param);
}

/** The response, whatever its status. json: sent as the body. Throws ApiError where no answer comes. */
export async function raw(path, { json, body, headers = {}, ...options } = {}) {
  if (json !== undefined) {
    body = JSON.stringify(json);
    headers = { "Content-Type": "application/json", ...headers };
  }
  // a header carries bytes, and the server reads keys as UTF-8
  if (key) headers = { ...headers, Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}` };
  try {
    return await fetch(path, { method: body === undefined ? "GET" : "POST", body, headers, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer. Is it still running?");
  }
}

/** A view's request: each call calls back the one before. An error that `told` does not show itself stands in `place`. */
export function latest(place, request, told = () => false) {
  let asking = new AbortController();
  return async () => {
    if (!server.info) return;
    asking.abort();
    const { signal } = (asking = new AbortController());
    place.textContent = "";
    try {
      await request(signal);
    } catch (error) {
      if (error.name !== "AbortError" && !told(error)) place.textContent = error.message;
    }
  };
}

/** A picture → its vector. The image's bytes are the body. */
export async function embedPicture(picture, { normalize, signal }) {
  const query = new URLSearchParams({ normalize, ...chosenModel() });
  return (await embeddings(`embeddings?${query}`, { body: picture.blob, signal }, imageType(picture)))[0];
}

/** Texts → their vectors, in their order. */
export function embedTexts(texts, { normalize, signal }) {
  return embeddings("embeddings", { json: { text: texts, normalize, ...chosenModel() }, signal }, "application/json");
}

async function embeddings(path, options, type) {
  const headers = { "Content-Type": type, "If-Match": `"${server.info.fingerprint}"` };
  return (await (await ask(path, { ...options, headers })).json()).embeddings;
}

/** The bytes decide: the server tells what another type is. */
export function imageType({ blob: { type } }) {
  return server.info.limits.image_types.includes(type) ? type : "image/jpeg";
}

/** A picture as /classify wants it. */
export function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.replace(/^data:[^,]*,/, "")); // base64 alone: the bytes decide
    reader.onerror = () => reject(new ApiError(0, "The browser could not read this file."));
    reader.readAsDataURL(blob);
  });
}

/** Whether an error is the image's own fault. */
export function isOfImage(error) {
  return [413, 415, 422].includes(error.status) && ["image", "body", null].includes(error.param);
}

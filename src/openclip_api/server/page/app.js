// Which view is shown, and when it may begin: once the model answers and a key, where one is wanted, is right.

import { events, server, useKey } from "./api.js";
import * as classify from "./classify.js";
import * as compare from "./compare.js";
import { $ } from "./dom.js";
import * as embed from "./embed.js";
import * as reference from "./reference.js";
import * as search from "./search.js";
import { showModel, untilReady } from "./status.js";

const RETRY = 1000; // milliseconds
const VIEWS = { compare, classify, embed, search, api: reference };

let started = new Set(); // the views that know the model
let isConnecting = false;

function shown() {
  const named = location.hash.slice(1);
  if (named in VIEWS) return named;
  return location.pathname.endsWith("/docs") ? "api" : "compare";
}

function showView() {
  const current = shown();
  for (const name of Object.keys(VIEWS)) {
    $(name).hidden = name !== current || !$("key-form").hidden;
    document.querySelector(`#views [href="#${name}"]`).ariaCurrent = name === current ? "page" : null;
  }
  document.title = `${document.querySelector("[aria-current]").textContent} · OpenCLIP API`;
  if (server.info && !started.has(current)) {
    started.add(current);
    VIEWS[current].start();
  }
}

async function connect() {
  if (isConnecting) return;
  isConnecting = true;
  try {
    await untilReady();
    await showModel(connect);
    $("key-form").hidden = true;
    $("key").value = "";
    started = new Set();
  } catch (error) {
    $("key-error").textContent = server.needsKey && $("key").value ? error.message : "";
    if (error.status !== 401) $("state").textContent = error.message;
  } finally {
    isConnecting = false;
  }
  showView();
}

events.addEventListener("changed", () => setTimeout(connect, RETRY));
events.addEventListener("key", () => {
  server.needsKey = true;
  $("key-form").hidden = false;
  showView();
  $("key").focus();
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey($("key").value);
  connect();
});

addEventListener("hashchange", showView);

// What is pasted goes to the view that is shown; a file that misses its place must not replace the page.
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  if (shown() === "embed") embed.showImage();
  VIEWS[shown()].pictures?.add(files);
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());

$("views").hidden = false;
showView();
connect();

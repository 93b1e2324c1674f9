// Brings the page up to date once a second. Nodes are changed where they stand, never replaced
// wholesale, so that focus, scroll positions and opened details stay as the reader left them.

const EVERY = 1000;
const live = document.getElementById("live");
const gone = document.getElementById("gone");
const pause = document.getElementById("pause");
let tag = null;
let paused = false;
let misses = 0;

function same(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);
}

function key(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null;
}

function alikeAttributes(from, to) {
  for (const { name } of [...from.attributes]) {
    // whether details are open is the reader's decision
    if (name !== "open" && !to.hasAttribute(name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
}

function alike(from, to) {
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) return;
  alikeAttributes(from, to);
  alikeChildren(from, to);
}

function alikeChildren(from, to) {
  const known = new Map();
  for (const child of from.children) if (key(child) !== null) known.set(key(child), child);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const named = key(wanted) === null ? null : known.get(key(wanted));
    if (at !== null && same(at, wanted)) {
      alike(at, wanted);
      at = at.nextSibling;
    } else if (named && same(named, wanted)) {
      from.insertBefore(named, at);
      alike(named, wanted);
    } else {
      from.insertBefore(wanted, at);
    }
  }
  while (at !== null) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function tellGone(isGone) {
  if (gone.hidden !== isGone) return;
  gone.hidden = !isGone;
  gone.textContent = isGone ? gone.dataset.text : "";
}

async function update() {
  const response = await fetch("/live", { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
  misses = 0;
  tellGone(false);
  if (response.status !== 200) return;
  tag = response.headers.get("ETag");
  const text = await response.text();
  const fresh = new DOMParser().parseFromString(`<main>${text}</main>`, "text/html").querySelector("main");
  alikeChildren(live, fresh);
}

async function again() {
  try {
    if (!paused && !document.hidden) await update();
  } catch {
    misses += 1;
    if (misses > 2) tellGone(true);
  }
  setTimeout(again, misses > 2 ? 5 * EVERY : EVERY);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? pause.dataset.resume : pause.dataset.pause;
});
again();

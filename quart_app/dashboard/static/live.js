// Keeps a page up to date. The server makes every page; this asks for it again when something has changed, and puts
// the parts that are marked with `data-live` in the place of the old ones. A part that somebody points at, writes in or
// has selected stays as it is until they leave it, so that no row moves under a hand.

import { freshen } from "./dashboard.js";

const EVERY = 1000; // ms between two looks, at least
const AWAY = 2000; // ms until the next try while the server does not answer
const note = document.getElementById("live");
let asked = false; // something has changed since the last look
let looking = false;
let timer = 0;
let lasted = 0;

function say(state, text) {
  note.hidden = false;
  note.dataset.state = state;
  if (note.textContent !== text) note.textContent = text;
}

function inUse(part) {
  if (part.contains(document.activeElement) && document.activeElement !== document.body) return true;
  if (part.dataset.live === "rows" && part.matches(":hover") && matchMedia("(hover: hover)").matches) return true;
  const selection = getSelection();
  return selection && !selection.isCollapsed && selection.containsNode(part, true);
}

function replace(fresh) {
  let kept = 0;
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (!other || other.innerHTML === part.dataset.was) continue;
    if (inUse(part)) {
      kept += 1;
      continue;
    }
    const open = [...part.querySelectorAll("details[open][id]")].map((one) => one.id);
    const was = other.innerHTML;
    part.replaceChildren(...other.childNodes);
    for (const name of other.getAttributeNames()) if (name !== "data-was") part.setAttribute(name, other.getAttribute(name));
    part.dataset.was = was;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    freshen(part);
  }
  return kept;
}

// A page that has changed as a whole, such as one that has become empty, is loaded anew when nobody works on it.
function isOther(fresh) {
  const ids = (root) => [...root.querySelectorAll("[data-live]")].map((part) => part.id).join(" ");
  return ids(fresh) !== ids(document);
}

export async function look() {
  if (looking || document.hidden || !("changes" in document.body.dataset || "events" in document.body.dataset) || document.querySelector("dialog[open]")) return;
  looking = true;
  asked = false;
  const began = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.redirected || answer.status === 404) {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (isOther(fresh) && !document.activeElement.closest("main form")) {
      location.reload();
      return;
    }
    const kept = replace(fresh);
    say(kept ? "held" : "live", kept ? "waits for your hand" : "live");
    if (kept) asked = true;
    document.dispatchEvent(new CustomEvent("looked"));
  } catch {
    say("away", "the server is away; this page goes on by itself");
    asked = true;
  } finally {
    lasted = performance.now() - began;
    looking = false;
    if (asked) plan(note.dataset.state === "away" ? AWAY : EVERY);
  }
}

function plan(after) {
  if (timer) return;
  // A server that is slow to answer is asked more rarely.
  timer = setTimeout(() => {
    timer = 0;
    look();
  }, Math.max(after, 10 * lasted));
}

export function changed() {
  asked = true;
  plan(EVERY);
}

document.addEventListener("visibilitychange", () => document.hidden || look());
document.addEventListener("look", look);
window.addEventListener("pageshow", (event) => event.persisted && look());

// --- the stream that says when something has changed

export function live() {
  if (note.dataset.state !== "held") say("live", "live");
}

export function away() {
  say("away", "the server is away; this page goes on by itself");
}

const address = document.body.dataset.changes;
if (address) follow();

function follow() {
  const source = new EventSource(address);
  let broken = false;
  source.addEventListener("open", () => {
    if (broken) changed();
    else say("live", "live");
    broken = false;
  });
  source.addEventListener("changed", changed);
  source.addEventListener("error", () => {
    // The server ends every stream after some minutes, and the browser comes back at once: only a second failure in a
    // row means that it is away.
    if (broken) away();
    broken = true;
    if (source.readyState === EventSource.CLOSED) setTimeout(() => { look(); follow(); }, AWAY);
  });
}

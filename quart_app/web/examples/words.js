// Starts a task `stream-words` and shows its words. Addresses are relative to the page, so that it works wherever the
// service is mounted. The id of the task is in the address of the page: a reload shows the same text.
"use strict";

const find = (id) => document.getElementById(id);
const sheet = find("sheet");
const ENDED = ["completed", "failed", "cancelled"];
const AGAIN = 1000; // ms until a stream that the browser has given up is opened again

let task = ""; // the id
let source = null; // its events
let last = 0; // the number of the last event that was shown
let run = 0; // the run of the last word
let total = 0;
let status = "";
let words = []; // their elements, by the place of the word in the text

function open(id) {
  source?.close();
  [task, last, run, total, status, words] = [id, 0, 0, 0, "", []];
  find("words").replaceChildren();
  find("runs").replaceChildren();
  find("problem").hidden = true;
  sheet.hidden = find("stop").hidden = id === "";
  if (id === "") return;
  find("task").href = `tasks/${encodeURIComponent(id)}`;
  find("history").href = `tasks/${encodeURIComponent(id)}/history`;
  show("waits", "Waits for its turn");
  follow();
}

// The events are rows in the server's database, and each has a number. The browser comes back by itself when the stream
// ends or the server dies, and names the last number it got (Last-Event-ID), so that no event is missed and none comes
// twice. It gives up when the answer is an error, such as the 503 of a server that starts: then `lost` opens a new
// stream after the number that is kept here.
function follow() {
  const mine = new EventSource(`tasks/${encodeURIComponent(task)}/events?after=${last}`);
  source = mine;
  const on = (name, what) =>
    mine.addEventListener(name, (event) => {
      if (source !== mine) return; // another task is shown by now
      last = Number(event.lastEventId);
      what(JSON.parse(event.data));
    });
  on("status", (event) => changed(event.status));
  on("progress", (event) => counted(event.data.total));
  on("output", (event) => said(event.data));
  mine.onopen = () => source === mine && changed(status);
  mine.onerror = () => source === mine && lost();
}

// A word comes with its place in the text, and goes there. Why: the task says ten words in a step, and is killed in the
// middle of one. Words of a step that is on record are never said again, but the step that was interrupted is run
// again, and says its words from its first one on. Those of them that are shown already come a second time, in a run
// with a higher number: at their place they change nothing, appended they would stand there twice.
function said({ run: number, data }) {
  const again = number !== run && run !== 0;
  run = number;
  while (words.length <= data.at) {
    const made = document.createElement("span");
    words.push(made);
    find("words").append(made, " ");
  }
  words[data.at].textContent = data.word;
  if (again) {
    words[data.at].classList.add("again");
    const line = document.createElement("li");
    line.textContent = `Run ${number} went on from word ${data.at + 1}.`;
    find("runs").append(line);
  }
  counted(total);
}

function counted(all) {
  total = all ?? total;
  find("bar").max = Math.max(total, 1);
  find("bar").value = words.length;
  find("count").textContent = total ? `${words.length} of ${total} words` : "";
}

function changed(now) {
  status = now;
  const texts = {
    pending: ["waits", "Waits for its turn"],
    processing: ["writes", "Writes"],
    completed: ["completed", "Done"],
    failed: ["failed", "Failed: its history says why"],
    cancelled: ["cancelled", "Stopped"],
  };
  if (texts[now]) show(...texts[now]);
  if (ENDED.includes(now)) source.close();
}

function show(state, text) {
  sheet.dataset.state = state;
  find("state").textContent = text;
  find("stop").hidden = ENDED.includes(state);
}

async function lost() {
  const mine = source;
  show("away", "The server is away for now");
  if (mine.readyState !== EventSource.CLOSED) return; // the browser asks again
  const answer = await fetch(`tasks/${encodeURIComponent(task)}`).catch(() => null);
  if (source !== mine) return;
  if (answer?.status === 404) {
    sheet.hidden = find("stop").hidden = true;
    complain("There is no such task (any more).");
  } else {
    setTimeout(() => source === mine && follow(), AGAIN);
  }
}

function complain(text) {
  find("problem").textContent = text;
  find("problem").hidden = false;
}

async function post(path, body) {
  try {
    const json = body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(path, { method: "POST", ...json });
    const document = await answer.json();
    if (answer.ok) return document;
    complain(document.errors?.[0]?.detail ?? document.detail ?? document.title);
  } catch {
    complain("The server does not answer.");
  }
  return null;
}

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  find("problem").hidden = true;
  const text = find("text").value;
  const args = { delay: Number(find("delay").value), ...(text.trim() ? { text } : {}) };
  find("start").disabled = true;
  const made = await post("tasks/stream-words", args);
  find("start").disabled = false;
  if (made) location.hash = made.task_id;
});
find("stop").addEventListener("click", () => post(`tasks/${encodeURIComponent(task)}/cancel`));
window.addEventListener("hashchange", () => open(location.hash.slice(1)));
open(location.hash.slice(1));

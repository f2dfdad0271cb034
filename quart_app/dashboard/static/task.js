// One task: its log and output line by line as they come, and the rest of the page at each change.

import { away, changed, live, look } from "./live.js";

const MOST = 1000; // lines that stay
const list = document.getElementById("log");
const box = list.closest(".log");
const state = document.getElementById("state");
let after = document.body.dataset.after;
let source = null;

const ended = () => ["completed", "failed", "cancelled"].includes(state.dataset.status);

function line(event) {
  const told = JSON.parse(event.data);
  const item = document.createElement("li");
  const time = document.createElement("time");
  const text = document.createElement("span");
  time.dateTime = told.at;
  time.textContent = told.at.slice(11, 23);
  text.className = "text";
  item.append(time, " ", text);
  if (event.type === "log") {
    const { message = "", level = "", fields } = told.data;
    item.className = `log ${level.toLowerCase()}`;
    text.textContent = message;
    if (fields && Object.keys(fields).length) {
      const code = document.createElement("code");
      code.textContent = JSON.stringify(fields);
      item.append(" ", code);
    }
  } else {
    item.className = "output";
    text.textContent = JSON.stringify(told.data.data);
  }
  const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
  list.append(item);
  delete box.dataset.empty;
  if (list.childElementCount > MOST) list.firstElementChild.remove();
  if (atEnd) box.scrollTop = box.scrollHeight;
}

function follow() {
  source = new EventSource(`${document.body.dataset.events}?after=${after}`);
  let broken = false;
  const keep = (event) => { after = event.lastEventId || after; };
  for (const name of ["log", "output"]) source.addEventListener(name, (event) => { keep(event); line(event); });
  for (const name of ["status", "progress", "step"]) source.addEventListener(name, (event) => { keep(event); changed(); });
  source.addEventListener("open", () => {
    if (broken) changed();
    else live();
    broken = false;
  });
  source.addEventListener("error", () => {
    if (broken && !ended()) away();
    broken = true;
    if (source.readyState !== EventSource.CLOSED) return;
    source = null; // it has ended, or the server refuses the stream for now
    if (!ended()) setTimeout(async () => { await look(); source ?? follow(); }, 2000);
  });
}

box.scrollTop = box.scrollHeight;
if (document.body.dataset.events) follow();
document.addEventListener("looked", () => {
  if (ended()) document.getElementById("live").hidden = true; // nothing more comes
  if (!source && !ended()) follow(); // it was retried
});

// What every page has: colours, questions before acts, keys, local times, copying. Every page works without.

const here = (id) => document.getElementById(id);

// --- colours

const theme = here("theme");
theme.closest("label").hidden = false;
theme.value = document.documentElement.dataset.theme ?? "";
theme.addEventListener("change", () => {
  if (theme.value) document.documentElement.dataset.theme = theme.value;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("quart_app-theme", theme.value);
  } catch {
    // it holds for this page
  }
});

document.querySelector("nav [aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "center" });

// --- questions before acts

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault(); // a second press
    return;
  }
  const question = form.dataset.ask;
  if (!question || form.dataset.agreed) {
    if (form.method === "post") form.dataset.sent = "yes";
    return;
  }
  event.preventDefault();
  const dialog = here("ask");
  here("ask-text").textContent = question;
  dialog.returnValue = "";
  dialog.addEventListener(
    "close",
    () => {
      if (dialog.returnValue !== "yes") return;
      form.dataset.agreed = "yes";
      form.requestSubmit();
    },
    { once: true },
  );
  dialog.showModal();
});

// A page that comes back from the browser's memory may send its forms again.
window.addEventListener("pageshow", () => {
  for (const form of document.forms) {
    delete form.dataset.sent;
    delete form.dataset.agreed;
  }
});

// --- times

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function inWords(at) {
  const seconds = Math.floor(Math.abs(Date.now() - at) / 1000);
  if (seconds < 2) return "now";
  const [size, name] = UNITS.find(([size]) => seconds >= size);
  const text = `${Math.floor(seconds / size)} ${name}`;
  return at <= Date.now() ? `${text} ago` : `in ${text}`;
}

export function freshen(root = document) {
  for (const time of root.querySelectorAll("time[datetime][title]")) {
    const at = Date.parse(time.dateTime);
    if (!time.dataset.local) {
      time.dataset.local = "yes";
      time.title = `${time.title}\n${new Date(at).toLocaleString()} here`;
    }
    const text = inWords(at);
    if (time.textContent !== text) time.textContent = text;
  }
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
  for (const place of root.querySelectorAll("[data-origin]")) {
    place.textContent = new URL(document.querySelector("a.brand").href.replace(/dashboard$/, "")).href;
  }
}

freshen();
setInterval(() => document.hidden || freshen(), 5000);

// --- copying, also over plain http, where there is no navigator.clipboard

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await copy(button.dataset.copy);
  const text = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = text; }, 1500);
});

// --- the query bar completes its last word

const bar = here("q");
if (bar) {
  const statuses = ["pending", "processing", "completed", "failed", "cancelled"];
  const known = [
    ...bar.dataset.words.split(" ").map((word) => `${word}:`),
    ...statuses.map((name) => `status:${name}`),
    ...bar.dataset.kinds.split(" ").map((name) => `kind:${name}`),
  ];
  bar.addEventListener("input", () => {
    const start = bar.value.lastIndexOf(" ") + 1;
    const before = bar.value.slice(0, start);
    const last = bar.value.slice(start);
    const fits = last ? known.filter((word) => word.startsWith(last) && word !== last).slice(0, 12) : [];
    here("suggestions").replaceChildren(...fits.map((word) => Object.assign(document.createElement("option"), { value: before + word })));
  });
}

// --- keys

const help = here("help");
here("keys").hidden = false;
here("keys").addEventListener("click", () => help.showModal());
let waiting = "";

function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")].filter((row) => row.querySelector("a"));
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const to = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1);
  rows[to].querySelector("a").focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const before = waiting;
  waiting = "";
  if (before === "g" && "ot".includes(event.key)) {
    const link = document.querySelectorAll("nav[aria-label=Pages] a")["ot".indexOf(event.key)];
    link?.click();
  } else if (event.key === "g") waiting = "g";
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "r") document.dispatchEvent(new Event("look"));
  else if (event.key === "?") help.showModal();
  else if (event.key === "/" && bar) {
    event.preventDefault();
    bar.focus();
    bar.select();
  }
});

// Before anything is shown: the colours that were chosen here. Not a module, because those wait for the page.
"use strict";
try {
  const chosen = localStorage.getItem("quart_app-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage: the system's colours
}
document.documentElement.classList.add("scripts");

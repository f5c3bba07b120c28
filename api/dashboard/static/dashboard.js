// What needs a script. Everything else works without one.
"use strict";

// Select all jobs of a list, and show how many are selected.
const boxes = (form) => Array.from(form.querySelectorAll("input[name=job]"));

function count(form) {
  const shown = form.querySelector("[data-selected]");
  const all = form.querySelector("[data-all]");
  if (!shown || !all) return;
  const n = boxes(form).filter((box) => box.checked).length;
  shown.textContent = n === 0 ? "" : n + " selected";
  all.hidden = false;
  const box = all.querySelector("input");
  box.checked = n > 0 && n === boxes(form).length;
  box.indeterminate = n > 0 && n < boxes(form).length;
}

const countAll = () => document.querySelectorAll("form[data-list]").forEach(count);

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-list]");
  if (!form) return;
  if (event.target.id === "select-all") {
    boxes(form).forEach((box) => { box.checked = event.target.checked; });
  }
  count(form);
});

// Keep open what was open, and keep showing the end of a log.
let unfolded = [];
let atEnd = false;

document.addEventListener("htmx:sseBeforeMessage", () => {
  unfolded = Array.from(document.querySelectorAll("details[open][id]"), (each) => each.id);
  const log = document.querySelector("[data-log]");
  atEnd = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 40;
});

document.addEventListener("htmx:sseMessage", () => {
  unfolded.forEach((id) => {
    const each = document.getElementById(id);
    if (each) each.open = true;
  });
  const log = document.querySelector("[data-log]");
  if (log && atEnd) log.scrollTop = log.scrollHeight;
  countAll();
});

// Show whether the page updates itself.
function connection(lost) {
  const note = document.getElementById("connection");
  if (note) note.hidden = !lost;
}
document.addEventListener("htmx:sseError", () => connection(true));
document.addEventListener("htmx:sseOpen", () => connection(false));
document.addEventListener("htmx:sseClose", () => connection(false));

countAll();
// A browser that goes back shows what was selected before.
window.addEventListener("pageshow", countAll);

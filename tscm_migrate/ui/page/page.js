// Search, filter, sorting, copy buttons, and the age of a page. Without this script the page shows everything.
"use strict";
const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));
const byId = (id) => document.getElementById(id);

// ---- search and filter: the rows of every table.rows
const rows = all("table.rows tr").filter((row) => !row.querySelector("th"));

function unfold(row, words) {
  const inside = all("details", row).filter((one) => words.some((word) => one.textContent.toLowerCase().includes(word)));
  for (const folded of [row.closest("details"), ...inside])
    if (folded && !folded.open) { folded.open = true; folded.dataset.opened = ""; }
}

function show() {
  const search = byId("search"), problems = byId("problems");
  if (!search) return;
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const only = problems !== null && problems.checked;
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word)) || (only && !("problem" in row.dataset));
    shown += row.hidden ? 0 : 1;
    if ((words.length || only) && !row.hidden) unfold(row, words);
  }
  for (const section of all("section")) {
    const inside = rows.filter((row) => section.contains(row));
    section.hidden = (words.length > 0 || only) && inside.every((row) => row.hidden);
  }
  if (!words.length && !only) for (const folded of all("details[data-opened]")) { folded.open = false; delete folded.dataset.opened; }
  byId("count").textContent = words.length || only ? shown + " of " + rows.length + " rows" : "";
}
for (const tools of all(".tools")) tools.hidden = false;
for (const input of all("#search, #problems")) input.addEventListener("input", show);

// ---- sorting: a table.sort has its headings in <thead>; a cell's data-value goes before its text
function value(row, column) {
  const cell = row.cells[column];
  return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim().toLowerCase();
}

function sort(table, head, column) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const sorted = Array.from(table.tBodies[0].rows).sort((a, b) => {
    const x = value(a, column), y = value(b, column);
    return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
  });
  table.tBodies[0].append(...sorted);
}

for (const table of all("table.sort")) {
  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    const button = document.createElement("span");  // a real button keeps Chromium from repeating the head on each printed page
    button.tabIndex = 0;
    button.setAttribute("role", "button");
    button.textContent = head.textContent;
    button.title = "Sort by this column";
    button.addEventListener("click", () => sort(table, head, column));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort(table, head, column);
    });
    head.replaceChildren(button);
  });
}

// ---- copy buttons
function copy(code, button) {
  const done = () => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1500); };
  const select = () => { getSelection().selectAllChildren(code); button.textContent = "selected"; };
  if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, select);
  else select();
}
for (const code of all("code.copy")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.title = "Copy this";
  button.addEventListener("click", () => copy(code, button));
  code.after(button);
}

// ---- age: the page says how old it is, and judges the hosts again by the time that has passed since
function duration(seconds) {
  let rest = Math.round(seconds);
  const parts = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const number = Math.floor(rest / size);
    rest -= number * size;
    if (number || parts.length) parts.push([number, unit]);
  }
  return parts.slice(0, 2).filter(([number]) => number).map((part) => part.join(" ")).join(" ") || "0 s";
}

function judge(row, now) {
  const age = Math.max(now - Number(row.dataset.taken), 0), rpo = Number(row.dataset.rpo);
  const late = age > rpo, state = row.querySelector(".state"), cell = row.querySelector(".age");
  cell.textContent = duration(age);
  cell.dataset.value = age;
  state.textContent = late ? "late" : "fresh";
  state.className = "s state " + (late ? "failed" : "ok");
  const used = row.querySelector(".used");
  used.setAttribute("width", Math.max(Math.min(50 * age / rpo, 100), 1) + "%");
  used.setAttribute("class", "used " + (late ? "failed" : "ok"));
  if (late) row.dataset.problem = "";
}

function grow() {
  const written = byId("written"), now = Date.now() / 1000;
  for (const row of all("tr[data-taken]")) judge(row, now);
  const hosts = all("tbody tr.host").length, kept = all("tbody .state.ok").length;
  byId("kept").textContent = kept + " of " + hosts;
  byId("title").textContent = kept < hosts ? hosts - kept + " of " + hosts + " late" : "all " + hosts + " fresh";
  const age = Math.max(now - Number(written.dataset.at), 0), stale = age > Number(written.dataset.stale);
  written.textContent = ", " + duration(age) + " ago";
  byId("stale").hidden = !stale;
  byId("banner").className = "banner " + (stale ? "attention" : kept < hosts ? "failed" : "done");
  document.title = (stale ? "Stale: " : "") + "Off-site backups: " + byId("title").textContent;
}
if (byId("written")) {
  grow();
  setInterval(grow, 30000);
}
show();

// Search, a filter and copy buttons. Without this script the page shows everything.
"use strict";
const search = document.getElementById("search");
const problems = document.getElementById("problems");
const count = document.getElementById("count");
const rows = Array.from(document.querySelectorAll("table.rows tr")).filter((row) => !row.querySelector("th"));
document.querySelector(".tools").hidden = false;

function show() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word)) || (problems.checked && !("problem" in row.dataset));
    shown += row.hidden ? 0 : 1;
    const folded = row.closest("details");
    if (folded && words.length && !row.hidden) folded.open = true;
  }
  count.textContent = words.length || problems.checked ? shown + " of " + rows.length + " rows" : "";
}
search.addEventListener("input", show);
problems.addEventListener("change", show);

function copy(code, button) {
  const done = () => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1500); };
  const select = () => { getSelection().selectAllChildren(code); button.textContent = "selected"; };
  if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, select);
  else select();
}
for (const code of document.querySelectorAll("code.copy")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.title = "Copy this";
  button.addEventListener("click", () => copy(code, button));
  code.after(button);
}
show();

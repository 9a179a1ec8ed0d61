/** How pictures come in: chosen, dropped anywhere on the page, pasted. */

import { the } from "./element.js";
import { note } from "./say.js";

const EMPTY = "There is no picture on the clipboard. Copy a picture, not its address, then paste.";

/** Calls `welcome(files)` with the files that arrive. */
export function arrivals(welcome) {
  the("pick").addEventListener("change", ({ target }) => {
    welcome([...target.files]);
    target.value = ""; // so that the same file can be chosen again
  });
  the("empty").addEventListener("click", () => the("pick").click());
  dropped(welcome);
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) welcome(files);
    else if (!event.target.closest?.("input")) note("", EMPTY);
  });
}

function dropped(welcome) {
  let depth = 0; // entering a child comes before leaving its parent
  const over = (change) => document.body.classList.toggle("dragging", (depth = Math.max(0, depth + change)) > 0);
  document.addEventListener("dragenter", () => over(1));
  document.addEventListener("dragleave", () => over(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(-depth);
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    const folders = entries.filter((entry) => entry?.isDirectory).map(({ name }) => name);
    for (const name of folders) note(name, "is a folder. Open it and drop the pictures inside.");
    const files = [...event.dataTransfer.files].filter((file) => !folders.includes(file.name));
    if (files.length) welcome(files);
    else if (!folders.length) note("", "That was not a file. Save the picture first, then drop it here.");
  });
}

/** What the page says to everyone: a status line, which screen readers read out, and notes about what went wrong. */

import { element, the } from "./element.js";

/** One line under the frame; the next replaces it. */
export function say(text) {
  the("status").textContent = text;
}

/** A note at the top that stays until it is closed. `again`: what a button "Try again" does, if there is to be one. */
export function note(about, text, again) {
  const made = element("div", { className: "note" }, element("p", {}, element("strong", {}, about), " ", text));
  if (again) made.append(element("button", { type: "button", onclick: () => (gone(), again()) }, "Try again"));
  const label = "Close this note";
  made.append(element("button", { type: "button", "aria-label": label, className: "close", onclick: gone }, "×"));
  the("notes").append(made);
  while (the("notes").children.length > 6) the("notes").firstElementChild.remove();

  function gone() {
    const next = made.nextElementSibling ?? made.previousElementSibling;
    made.remove();
    (next?.querySelector("button") ?? the("pick")).focus();
  }
}

/** Asks the visitor for the token of a server that wants one. */

import { the } from "./element.js";

/** Resolves to the token, or null when the visitor would rather not. */
export function key(refused) {
  if (refused) the("key-text").textContent = "That was not it. Whoever runs the server can tell you.";
  const dialog = the("key");
  dialog.returnValue = "";
  the("token").value = "";
  dialog.showModal();
  return new Promise((given) => {
    const closed = () => given(dialog.returnValue === "go" ? the("token").value.trim() : null);
    dialog.addEventListener("close", closed, { once: true });
  });
}

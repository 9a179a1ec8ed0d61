/** The history of this visit, in memory only: the strip of pictures under the frame, and its answers as a file. */

import { element, percent, the } from "./element.js";

const MOST = 60; // pictures that hang at once; the oldest makes room

/** Tells "choose" whenever another picture, or none, is the current one. */
export class Visit extends EventTarget {
  exhibits = [];
  current = null;

  /** `model`: as GET /v1/model tells it, for the file of answers. */
  constructor(model) {
    super();
    this.model = model;
    the("download").addEventListener("click", () => this.#download());
    the("clear").addEventListener("click", () => this.#clear());
  }

  /** Hangs one more picture at the end; the first of several is looked at. */
  hang(exhibit, look) {
    this.exhibits.push(exhibit);
    exhibit.item = this.#item(exhibit);
    the("hangings").append(exhibit.item);
    the("visit").hidden = false;
    while (this.exhibits.length > MOST) this.#drop(this.exhibits[0]);
    if (look) this.look(exhibit);
  }

  look(exhibit) {
    this.current?.item.firstElementChild.removeAttribute("aria-current");
    this.current = exhibit;
    exhibit?.item.firstElementChild.setAttribute("aria-current", "true");
    this.dispatchEvent(new Event("choose"));
  }

  #item(exhibit) {
    const picture = element("img", { alt: "", width: 96, height: 96 });
    exhibit.seen.then((url) => (picture.src = url), () => {});
    const { label, probability } = exhibit.answer;
    const name = element("span", { className: "unseen" }, `${exhibit.name}: `);
    const words = [element("span", {}, label), element("span", { className: "soft" }, percent(probability))];
    const button = element("button", { type: "button", title: exhibit.name }, picture, name, ...words);
    button.addEventListener("click", () => {
      this.look(exhibit);
      the("frame").scrollIntoView({ block: "nearest" });
    });
    return element("li", {}, button);
  }

  #drop(exhibit) {
    this.exhibits.splice(this.exhibits.indexOf(exhibit), 1);
    exhibit.item.remove();
    exhibit.takeDown();
  }

  #clear() {
    for (const exhibit of [...this.exhibits]) this.#drop(exhibit);
    this.look(null);
    the("visit").hidden = true;
    the("pick").focus();
  }

  #download() {
    const { name, variant } = this.model;
    const predictions = this.exhibits.map((exhibit) => ({ name: exhibit.name, ...exhibit.answer }));
    const text = JSON.stringify({ model: { name, variant }, predictions }, null, 2);
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    element("a", { href: url, download: "alexnet-answers.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000); // once the browser has it
  }
}

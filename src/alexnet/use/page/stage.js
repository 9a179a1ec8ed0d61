/** The frame and the plate beside it: the current picture, the best guesses, and where the network looked. */

import { element, percent, square, the } from "./element.js";
import { origin } from "./origin.js";
import { say } from "./say.js";

const METHODS = {
  "grad-cam": ["Grad-CAM", "Warm is where the maps of the layer you choose speak for this name."],
  occlusion: ["Covering up", "A grey patch was slid over the picture. Warm is where covering it hurts this name most."],
  saliency: ["Saliency", "Warm are the single pixels that would change this name's score most."],
};

/** Shows what `visit` looks at. */
export class Stage {
  #turn = 0; // of the hand that places heat: only the latest may

  constructor(model, visit) {
    Object.assign(this, { model, visit });
    this.seen = element("img", { className: "seen", hidden: true });
    this.heat = element("img", { className: "heat", alt: "", hidden: true });
    this.seen.classList.toggle("pixels", model.input.size < 160); // so few that one may see them
    the("canvas").append(this.seen, this.heat);
    this.#fill();
    visit.addEventListener("choose", () => this.#show());
    the("overlay").addEventListener("click", () => this.#open(!this.#isOpen));
    the("opacity").addEventListener("input", () => this.#fade());
    the("target").addEventListener("change", ({ target }) => this.#aim(target.value));
    for (const id of ["method", "heat-layer"]) the(id).addEventListener("change", () => this.#look());
  }

  get #isOpen() {
    return the("overlay").getAttribute("aria-pressed") === "true";
  }

  /** The choices that depend on the model only. */
  #fill() {
    const methods = this.model.methods.filter((name) => name in METHODS);
    the("overlay").hidden = methods.length === 0;
    the("method").append(...methods.map((name) => new Option(METHODS[name][0], name)));
    the("target").append(...this.model.classes.map((name, index) => new Option(name, index)));
    const layers = this.model.layers.filter(({ output, type }) => output.length === 3 && type !== "Dropout");
    const usual = layers.findLast(({ type }) => ["ReLU", "Tanh", "Sigmoid"].includes(type))?.name;
    the("heat-layer").append(...layers.map(({ name }) => new Option(name, name, name === usual, name === usual)));
  }

  async #show() {
    const exhibit = this.visit.current;
    const here = the("before").contains(document.activeElement); // an example was chosen, and goes away with the rest
    the("before").hidden = Boolean(exhibit);
    the("after").hidden = !exhibit;
    if (here && exhibit) the("after").focus();
    the("empty").hidden = Boolean(exhibit);
    this.seen.hidden = !exhibit;
    this.heat.hidden = true;
    if (!exhibit) return;
    this.#title(exhibit);
    this.#bars(exhibit.answer.top);
    origin(exhibit, this.model.input);
    this.#look();
    try {
      const url = await exhibit.seen;
      if (this.visit.current === exhibit) this.seen.src = url;
    } catch (refusal) {
      if (this.visit.current === exhibit) say(`The picture itself cannot be shown: ${refusal.message}`);
    }
  }

  #title({ name, answer }) {
    const share = element("span", { className: "share" }, percent(answer.probability));
    the("name").textContent = `${name}, as the network saw it: ${square(this.model.input.size)} pixels`;
    the("answer").replaceChildren(answer.label, " ", share);
    the("target").value = answer.top[0].index;
    this.seen.alt = `What the network saw of ${name}`;
  }

  #bars(top) {
    the("bars").replaceChildren(
      ...top.map(({ label, index, probability }, place) => {
        const radio = element("input", { type: "radio", name: "bar", value: String(index), checked: place === 0 });
        radio.addEventListener("click", () => this.#aim(index));
        const name = element("span", { className: "label" }, label);
        const bar = element("span", { className: "bar" });
        requestAnimationFrame(() => bar.style.setProperty("--share", probability)); // so that it is seen to grow
        return element("label", {}, radio, name, element("span", { className: "share" }, percent(probability)), bar);
      }),
    );
  }

  /** Asks where class `index` is, and says so in every place that tells the class. */
  #aim(index) {
    the("target").value = index;
    for (const radio of the("bars").querySelectorAll("input")) radio.checked = radio.value === String(index);
    this.#open(true);
  }

  #open(open) {
    the("overlay").setAttribute("aria-pressed", open);
    the("looking").hidden = !open;
    this.#look();
  }

  /** Lays heat over the picture, if it is wanted; only the latest wish counts. */
  async #look() {
    const turn = ++this.#turn;
    const [exhibit, method] = [this.visit.current, the("method").value];
    const wanted = this.#isOpen && exhibit;
    the("at-layer").hidden = method !== "grad-cam";
    the("looked-text").textContent = METHODS[method]?.[1] ?? "";
    the("frame").classList.toggle("searching", Boolean(wanted));
    if (!wanted) return (this.heat.hidden = true);
    const layer = method === "grad-cam" ? the("heat-layer").value : "";
    const url = await exhibit.heat(method, the("target").value, layer).catch((refusal) => refusal);
    if (turn !== this.#turn) return;
    the("frame").classList.remove("searching");
    this.heat.hidden = typeof url !== "string";
    if (this.heat.hidden) return say(url.message);
    this.heat.src = url;
    this.#fade();
    const [way, name] = [METHODS[method][0], the("target").selectedOptions[0].text];
    const none = `${way} finds nothing in ${exhibit.name} that speaks for ${name}${layer && ` at ${layer}`}.`;
    const cold = await isCold(this.heat);
    if (turn === this.#turn) say(cold ? none : `Warm is what speaks for ${name} in ${exhibit.name} (${way}).`);
  }

  #fade() {
    const strength = the("opacity").value;
    this.heat.style.opacity = strength / 100;
    the("opacity-text").textContent = `${strength} %`;
  }
}

/** Whether there is no heat at all: every pixel is see-through. */
async function isCold(image) {
  await image.decode();
  const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
  return data.every((value, place) => place % 4 < 3 || value === 0);
}

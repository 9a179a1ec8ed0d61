/** A walk along the network: its layers as a strip of blocks; the chosen one is told and shown. */

import { element, grouped, the } from "./element.js";
import { kinds } from "./kinds.js";

const SIGNS = { both: "White is silent; red speaks for, blue against.", one: "Dark is silent, bright is strong." };
const CLOSED = "This kind of file does not let one look at its layers.";
const SMOOTH = 640; // pixels from which a sheet is rather made smaller than larger
const STEP = 1600; // ms that the stroll stays at a layer

export class Walk {
  #turn = 0;
  #stroll = null;

  constructor(server, model, visit) {
    Object.assign(this, { server, model, visit });
    this.entry = element("img", { alt: "", className: "entry", hidden: true });
    the("strip").append(this.entry, ...model.layers.map((layer, place) => this.#block(layer, place)));
    visit.addEventListener("choose", () => this.#arrive());
    the("stroll").addEventListener("click", () => (this.#stroll ? this.#rest() : this.#wander()));
    the("strip").addEventListener("pointerdown", () => this.#rest());
    this.#choose(model.layers[0]);
  }

  /** A radio drawn as a stack of maps: as tall as they are, the wider the more of them. */
  #block(layer, place) {
    const [maps, height] = layer.output.length === 3 ? layer.output : [layer.output[0], 1];
    const tallest = Math.max(...this.model.layers.map(({ output }) => output[1] ?? 1));
    const block = element("span", { className: `block ${layer.type.toLowerCase()}` });
    block.style.setProperty("--tall", Math.sqrt(height / tallest));
    block.style.setProperty("--maps", Math.log2(maps + 1));
    block.style.setProperty("--place", place);
    const radio = element("input", { type: "radio", name: "layer", value: layer.name, checked: place === 0 });
    radio.setAttribute("aria-label", `${layer.name}, ${told(layer.output)}`);
    radio.addEventListener("change", () => this.#choose(layer));
    radio.addEventListener("keydown", () => this.#rest());
    const shape = element("span", { className: "shape" }, brief(layer.output));
    return element("label", {}, radio, element("span", { className: "plinth" }, block), layer.name, shape);
  }

  async #arrive() {
    const exhibit = this.visit.current;
    this.entry.hidden = !exhibit;
    the("strip").classList.remove("passing");
    if (!exhibit) return this.#choose(this.chosen);
    this.#choose(this.chosen);
    const url = await exhibit.seen.catch(() => null);
    if (exhibit !== this.visit.current) return;
    this.entry.hidden = !url;
    if (!url) return;
    this.entry.src = url;
    the("strip").classList.add("passing"); // a light runs along with the picture
  }

  #choose(layer) {
    this.chosen = layer;
    const kind = kinds[layer.type] ?? kinds.other;
    the("layer-title").textContent = `${layer.name}: ${kind.title}`;
    the("layer-shape").textContent = told(layer.output);
    the("layer-text").textContent = kind.text;
    this.#figures(layer);
  }

  /** In which colours a layer is drawn: the last one that decides whether numbers can be below zero, does. */
  #sign(layer) {
    const before = this.model.layers.slice(0, this.model.layers.indexOf(layer) + 1);
    return before.map(({ type }) => kinds[type]?.sign).findLast(Boolean) ?? "one";
  }

  async #figures(layer) {
    const turn = ++this.#turn;
    const first = layer.name === this.model.layers.find(({ type }) => type === "Conv")?.name;
    the("layer-figures").setAttribute("aria-busy", "true");
    const caption = `The ${grouped(layer.output[0])} patterns that it looks for, its kernels`;
    const kernels = first ? await figure(caption, this.#kernels()) : "";
    const maps = await this.#maps(layer);
    if (turn !== this.#turn) return;
    the("layer-kernels").replaceChildren(...(this.visit.current ? [kernels] : []));
    the("layer-figures").replaceChildren(...(this.visit.current ? [] : [kernels]), maps);
    the("layer-key").textContent = SIGNS[this.#sign(layer)];
    the("layer-key").hidden = !maps.matches("figure");
    the("layer-figures").removeAttribute("aria-busy");
  }

  #maps(layer) {
    const exhibit = this.visit.current;
    if (!this.model.methods.includes("activations")) return element("p", { className: "soft" }, CLOSED);
    if (!exhibit) return element("p", { className: "soft" }, "Hang a picture to see what this layer makes of it.");
    return figure(`What ${layer.name} makes of ${exhibit.name}`, exhibit.maps(layer.name));
  }

  #kernels() {
    this.drawn ??= this.server.picture("/v1/kernels").then((blob) => URL.createObjectURL(blob));
    this.drawn.catch(() => (this.drawn = undefined));
    return this.drawn;
  }

  #wander() {
    the("stroll").setAttribute("aria-pressed", "true");
    const radios = [...the("strip").querySelectorAll("input")];
    const step = () => {
      const next = radios[(radios.findIndex((radio) => radio.checked) + 1) % radios.length];
      next.checked = true;
      next.dispatchEvent(new Event("change"));
      next.parentElement.scrollIntoView({ block: "nearest", inline: "center" });
      if (next === radios.at(-1)) this.#rest();
    };
    this.#stroll = setInterval(step, STEP);
    step();
  }

  #rest() {
    clearInterval(this.#stroll);
    this.#stroll = null;
    the("stroll").setAttribute("aria-pressed", "false");
  }
}

/** A picture with its caption, or the reason why there is none. */
async function figure(caption, url) {
  try {
    const image = element("img", { alt: caption, src: await url });
    await image.decode();
    image.classList.toggle("pixels", image.naturalWidth < SMOOTH);
    const words = element("figcaption", {}, caption);
    const pan = element("div", { className: "pan", tabIndex: 0, role: "group", "aria-label": caption }, image);
    return element("figure", {}, words, pan);
  } catch (refusal) {
    return element("p", { className: "soft" }, refusal.message);
  }
}

/** [96, 55, 55] → "96 maps of 55 × 55" */
function told([maps, height, width]) {
  return height === undefined ? `${grouped(maps)} numbers` : `${grouped(maps)} maps of ${height} × ${width}`;
}

/** [96, 55, 55] → "96×55²" */
function brief([maps, height, width]) {
  if (height === undefined) return String(maps);
  return height === width ? `${maps}×${height}²` : `${maps}×${height}×${width}`;
}

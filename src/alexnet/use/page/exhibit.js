/** One picture on the wall: what was sent, what was answered, and what the server draws of it when asked. */

const LINGERS = 10_000; // ms that a drawing stays after it was taken down: an image may only now begin to load it

export class Exhibit {
  #drawn = new Map();

  /** `file`: a Blob; `answer`: {label, probability, top}. */
  constructor(server, name, file, answer) {
    Object.assign(this, { server, name, file, answer });
  }

  /** URL of the exact square that the network saw. */
  get seen() {
    return this.#picture("method=input");
  }

  /** URL of the heat that `method` finds for class `target` at `layer`, see-through where it is cold. */
  heat(method, target, layer) {
    const at = layer ? `&layer=${encodeURIComponent(layer)}` : "";
    return this.#picture(`method=${method}&target=${target}&output=map${at}`);
  }

  /** URL of all the maps of a layer on one sheet. */
  maps(layer) {
    return this.#picture(`method=activations&layer=${encodeURIComponent(layer)}`);
  }

  /** [{row, name, label, distance}], the nearest first. */
  async alike(count) {
    this.neighbours ??= this.server.document(`/v1/neighbours?count=${count}`, this.file);
    try {
      return (await this.neighbours).neighbours;
    } catch (error) {
      this.neighbours = undefined; // asked anew next time
      throw error;
    }
  }

  /** Drawn once and kept; a failure is forgotten. */
  #picture(query) {
    if (!this.#drawn.has(query)) {
      const url = this.server.picture(`/v1/explain?${query}`, this.file).then((blob) => URL.createObjectURL(blob));
      url.catch(() => this.#drawn.delete(query));
      this.#drawn.set(query, url);
    }
    return this.#drawn.get(query);
  }

  /** Lets go of the memory. */
  takeDown() {
    for (const url of this.#drawn.values()) url.then((drawn) => setTimeout(URL.revokeObjectURL, LINGERS, drawn), () => {});
    this.#drawn.clear();
  }
}

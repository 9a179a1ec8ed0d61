/** The server as this page knows it: a token if it wants one, patience when it is busy, refusals in words. */

const TRIES = 8; // when it is busy
const DRAWN_AT_ONCE = 2; // pictures that it is asked to draw: a class of thirty shares it
const LONGEST = 30; // seconds that one `Retry-After` is believed

/** What the server, or the lack of one, has against a request. `status` is 0 when nothing answered. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export class Server {
  #token = null;
  #asking = null;
  #lanes = Array(DRAWN_AT_ONCE).fill(Promise.resolve());

  /** `waiting(seconds)` is told when it is busy, with 0 when that is over; `wanted(refused)` asks the visitor for a
   * token and gives null for none. */
  constructor(waiting, wanted) {
    this.waiting = waiting;
    this.wanted = wanted;
  }

  /** A document. `body` is a picture to send along, or nothing. Rejects with a Refusal. */
  async document(path, body, options) {
    return (await this.#patiently(path, body, options)).json();
  }

  /** A picture as a Blob; a few at a time, in the order in which they are asked for. */
  picture(path, body) {
    const [lane, ...others] = this.#lanes;
    const drawn = lane.then(async () => (await this.#patiently(path, body)).blob());
    this.#lanes = [...others, drawn.catch(() => {})];
    return drawn;
  }

  async #patiently(path, body, { tries = TRIES } = {}) {
    for (let attempt = 1; ; attempt++) {
      const used = this.#token;
      const answer = await this.#once(path, body);
      if (attempt > 1 && answer.status !== 503) this.waiting(0);
      if (answer.ok) return answer;
      if (answer.status === 401 && (used !== this.#token || (await this.#ask(used !== null)))) continue;
      const pause = answer.status === 503 && attempt < tries ? seconds(answer) : 0;
      if (!pause) throw await refusal(answer);
      this.waiting(pause);
      await new Promise((go) => setTimeout(go, 1000 * pause));
    }
  }

  async #once(path, body) {
    const headers = this.#token === null ? {} : { Authorization: `Bearer ${this.#token}` };
    if (body) headers["Content-Type"] = "application/octet-stream"; // it tells formats by content
    try {
      return await fetch(path, { method: body ? "POST" : "GET", body, headers });
    } catch {
      throw new Refusal(0, "The server does not answer. Perhaps it was stopped, or the network is down.");
    }
  }

  /** One question to the visitor, however many requests wait for the answer. */
  async #ask(refused) {
    this.#asking ??= this.wanted(refused).finally(() => (this.#asking = null));
    const token = await this.#asking;
    if (token) this.#token = token;
    return token;
  }
}

function seconds(answer) {
  const asked = Number(answer.headers.get("Retry-After")) || 1;
  return Math.min(Math.max(asked, 1), LONGEST);
}

async function refusal(answer) {
  const { detail, title } = await answer.json().catch(() => ({}));
  return new Refusal(answer.status, sentence(detail || title || `the server answered ${answer.status}`));
}

/** Details come as clauses: "not a picture". */
function sentence(text) {
  const told = String(text);
  return told.charAt(0).toUpperCase() + told.slice(1) + (/[.!?]$/.test(told) ? "" : ".");
}

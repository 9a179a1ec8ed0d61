/** From files to exhibits: each is sent alone, a few at a time, and hung in the order in which it came. */

import { percent, size, the } from "./element.js";
import { Exhibit } from "./exhibit.js";
import { note, say } from "./say.js";

const AT_ONCE = 3;
const AT_MOST = 40; // of one armful
const TOLD = 3; // answers put into words; all of them hang below
const KNOWN = "JPEG, PNG, GIF, WebP and TIFF are among them, HEIC is not: save it as JPEG first.";

/** Returns `welcome(files)`, which asks the server about files and hangs what it answers. */
export function asking(server, model, visit) {
  return async function welcome(files) {
    if (files.length > AT_MOST) note("", `That is ${files.length} files; these are the first ${AT_MOST}.`);
    const some = files.slice(0, AT_MOST);
    say(some.length === 1 ? `Looking at ${some[0].name} …` : `Looking at ${some.length} pictures …`);
    the("frame").classList.add("thinking");
    const hung = [];
    const answers = inOrder(some, AT_ONCE, (file) => ask(file));
    for (const [number, file] of some.entries()) {
      try {
        const exhibit = new Exhibit(server, file.name, file, await answers[number]);
        visit.hang(exhibit, hung.length === 0);
        hung.push(exhibit);
      } catch (refusal) {
        const passing = refusal.status === 0 || refusal.status >= 500;
        const hint = refusal.status === 415 ? ` ${KNOWN}` : "";
        note(file.name, refusal.message + hint, passing && (() => welcome([file])));
      }
    }
    the("frame").classList.remove("thinking");
    say(told(hung));
  };

  async function ask(file) {
    const most = model.limits.body_bytes;
    if (!file.size) throw new Error("is empty.");
    if (file.size > most)
      throw new Error(`is ${size(file.size)}; this server takes up to ${size(most)}. Make it smaller first.`);
    await file.slice(0, 1).arrayBuffer().catch(() => {
      throw new Error("cannot be read. Was it moved or changed?");
    });
    const { predictions } = await server.document("/v1/predict?top=5", file);
    const { label, probability, top } = predictions[0];
    return { label, probability, top };
  }
}

function told(hung) {
  const answers = hung.slice(0, TOLD).map(({ name, answer }) => `${name}: ${answer.label}, ${percent(answer.probability)}.`);
  if (hung.length > TOLD) answers.push(`And ${hung.length - TOLD} more.`);
  return answers.join(" ") || "No picture was hung.";
}

/** Promises of `work(item)` for each item, at most `limit` under way. */
function inOrder(items, limit, work) {
  const lanes = Array(limit).fill(Promise.resolve());
  return items.map((item, number) => {
    const result = lanes[number % limit].then(() => work(item));
    result.catch(() => {}); // whoever waits for it hears of it
    lanes[number % limit] = result.catch(() => {});
    return result;
  });
}

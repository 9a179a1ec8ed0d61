/** What the network says while one is still moving or drawing: never more than one question under way. */

import { percent } from "./element.js";

/** Returns `guess(canvas)`, which writes the best names for what is on the canvas into `line`. */
export function live(server, line) {
  let busy = false;
  return async function guess(canvas) {
    if (busy) return;
    busy = true;
    try {
      const { predictions } = await server.document("/v1/predict?top=2", await snapshot(canvas), { tries: 1 });
      const names = predictions[0].top.map(({ label, probability }) => `${label} ${percent(probability)}`);
      line.textContent = names.join(" · ");
    } catch (refusal) {
      line.textContent = refusal.status === 503 ? "Many are asking just now …" : refusal.message;
    } finally {
      busy = false;
    }
  };
}

/** What is on a canvas, as a file. */
export const snapshot = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

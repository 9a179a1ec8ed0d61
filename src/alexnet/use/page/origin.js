/** The picture as it came, small, with the part that goes into the network marked on it. */

import { the } from "./element.js";

const SIDE = 192; // pixels of the longer side

/** Draws an exhibit's file for the input rule {size, stored, resize}; hides what the browser cannot read itself. */
export async function origin(exhibit, rule) {
  const canvas = the("origin");
  canvas.hidden = true;
  const whole = await createImageBitmap(exhibit.file).catch(() => null); // it reads fewer formats than the server
  if (!whole) return;
  const scale = SIDE / Math.max(whole.width, whole.height);
  [canvas.width, canvas.height] = [Math.ceil(whole.width * scale), Math.ceil(whole.height * scale)];
  const [left, top, width, height] = part(canvas.width, canvas.height, rule);
  const pen = canvas.getContext("2d");
  pen.globalAlpha = 0.35;
  pen.drawImage(whole, 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = 1;
  pen.beginPath();
  pen.rect(left, top, width, height);
  pen.clip();
  pen.drawImage(whole, 0, 0, canvas.width, canvas.height);
  whole.close();
  canvas.hidden = false;
}

/** The part of a width × height picture that the network sees: [left, top, width, height]. */
export function part(width, height, { size, stored, resize }) {
  const sides = { crop: Math.min(width, height), pad: Math.max(width, height) }[resize];
  const [across, down] = [((sides ?? width) * size) / stored, ((sides ?? height) * size) / stored];
  return [(width - across) / 2, (height - down) / 2, across, down];
}

/** A sheet to draw on, with guesses after every stroke; patterns fill it for those who do not draw. */

import { element, the } from "./element.js";
import { live, snapshot } from "./live.js";
import { fill, patterns } from "./patterns.js";

const INKS = {
  black: "#1c2321",
  red: "#b3261e",
  blue: "#1f5fa8",
  green: "#2f7d4f",
  yellow: "#e0a100",
  white: "#ffffff",
};
const WIDTH = 14; // of the pen, in pixels of the sheet
const DRAWN = ["cat", "dog"]; // examples that come with the page, then such as it draws itself
const EXAMPLES = ["rings", "dots", "zigzag"];

export function drawing(server, welcome) {
  const [dialog, sheet] = [the("drawing"), the("sheet")];
  const pen = sheet.getContext("2d", { willReadFrequently: true });
  const guess = live(server, the("drawing-guess"));
  let drawings = 0;

  the("inks").append(...Object.keys(INKS).map(ink));
  the("stamps").append(...Object.keys(patterns).map(stamp));
  the("open-drawing").addEventListener("click", () => (wipe(), dialog.showModal()));
  the("close-drawing").addEventListener("click", () => dialog.close());
  the("wipe").addEventListener("click", wipe);
  the("hang-drawing").addEventListener("click", async () => {
    dialog.close();
    welcome([await hung(sheet, `drawing ${++drawings}`)]);
  });
  strokes(sheet, pen, () => guess(sheet));
  const examples = [...DRAWN.map((name) => drawn(name, welcome)), ...EXAMPLES.map((name) => example(name, welcome))];
  the("examples").append(...examples.map((button) => element("li", {}, button)));

  function stamp(name) {
    return element("button", { type: "button", onclick: () => (fill(sheet, name), guess(sheet)) }, name);
  }

  function ink(name, place) {
    const radio = element("input", { type: "radio", name: "ink", value: name, "aria-label": name });
    radio.checked = place === 0;
    const blot = element("span", { className: "blot" });
    blot.style.backgroundColor = INKS[name];
    return element("label", { title: name }, radio, blot);
  }

  function wipe() {
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, sheet.width, sheet.height);
    the("drawing-guess").textContent = "Draw, and it guesses.";
  }
}

/** A button with a pattern on it, which hangs that very pattern. */
function example(name, welcome) {
  const canvas = element("canvas", { width: 256, height: 256 });
  fill(canvas, name);
  const show = async () => welcome([await hung(canvas, name)]);
  return element("button", { type: "button", "aria-label": `Try ${name}`, onclick: show }, canvas);
}

/** A button with a picture on it, which hangs that picture. */
function drawn(name, welcome) {
  const image = element("img", { alt: "", src: `/page/${name}.jpg` });
  const show = async () => welcome([new File([await (await fetch(image.src)).blob()], name, { type: "image/jpeg" })]);
  return element("button", { type: "button", "aria-label": `Try ${name}`, onclick: show }, image);
}

async function hung(canvas, name) {
  return new File([await snapshot(canvas)], name, { type: "image/png" });
}

/** Draws lines in the chosen ink where a finger, pen or mouse goes; `done` after each. */
function strokes(sheet, pen, done) {
  const scale = () => sheet.width / sheet.clientWidth;
  const place = ({ offsetX, offsetY }) => [offsetX * scale(), offsetY * scale()];
  let down = false;
  sheet.addEventListener("pointerdown", (event) => {
    sheet.setPointerCapture(event.pointerId);
    down = true;
    const { value } = the("inks").querySelector(":checked");
    Object.assign(pen, { strokeStyle: INKS[value], lineWidth: WIDTH, lineCap: "round", lineJoin: "round" });
    pen.beginPath();
    pen.moveTo(...place(event));
    pen.lineTo(...place(event)); // a dot
    pen.stroke();
  });
  sheet.addEventListener("pointermove", (event) => {
    if (!down) return;
    pen.lineTo(...place(event));
    pen.stroke();
  });
  for (const end of ["pointerup", "pointercancel"])
    sheet.addEventListener(end, () => {
      if (down) done();
      down = false;
    });
}

/** Little pictures that the page draws itself, a new one each time: something to show when nothing is at hand. */

const INKS = ["#1f3a5f", "#7a2e2e", "#2f5d3a", "#6b4c11", "#4a2f6b", "#222222"];
const GROUNDS = ["#f2ead8", "#dfe9ee", "#f4dcd0", "#e3ecd5", "#ffffff", "#f6e7a8"];

/** Each fills a square of `side` pixels on a 2-D context, in the ink that is set, every `step` pixels. */
export const patterns = {
  rings(pen, side, step) {
    for (let radius = step; radius < side; radius += step) {
      pen.beginPath();
      pen.arc(side / 2, side / 2, radius, 0, 2 * Math.PI);
      pen.stroke();
    }
  },
  dots(pen, side, step) {
    for (let y = step / 2; y < side; y += step)
      for (let x = step / 2; x < side; x += step) {
        pen.beginPath();
        pen.arc(x, y, step / 3.2, 0, 2 * Math.PI);
        pen.fill();
      }
  },
  checks(pen, side, step) {
    for (let row = 0; row * step < side; row++)
      for (let x = (row % 2) * step; x < side; x += 2 * step) pen.fillRect(x, row * step, step, step);
  },
  rays(pen, side, step) {
    for (let angle = 0; angle < 2 * Math.PI; angle += step / 90) {
      pen.beginPath();
      pen.moveTo(side / 2, side / 2);
      pen.lineTo(side / 2 + side * Math.cos(angle), side / 2 + side * Math.sin(angle));
      pen.stroke();
    }
  },
  zigzag(pen, side, step) {
    for (let y = -step; y < side + step; y += step) {
      pen.beginPath();
      for (let x = 0, up = 0; x <= side + step; x += step, up ^= 1) pen.lineTo(x, y + (up * step) / 1.5);
      pen.stroke();
    }
  },
};

/** Fills a canvas with a pattern in inks and sizes drawn by lot. */
export function fill(canvas, name) {
  const pen = canvas.getContext("2d");
  const side = canvas.width;
  const step = side * (0.09 + 0.05 * Math.random());
  pen.fillStyle = oneOf(GROUNDS);
  pen.fillRect(0, 0, side, side);
  pen.fillStyle = pen.strokeStyle = oneOf(INKS);
  pen.lineWidth = step / 2.6;
  patterns[name](pen, side, step);
}

const oneOf = (list) => list[Math.floor(list.length * Math.random())];

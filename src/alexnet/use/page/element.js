/** Elements, made and found. Text only ever becomes text: no name of a file or class can turn into markup. */

/** A new element with properties (`className`, `hidden`, `aria-…`, `on…`) and children: elements or strings. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** The element of this page with that id. */
export const the = (id) => document.getElementById(id);

/** A share of one in words: 0.934 → "93.4 %". */
export function percent(share) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** 61100840 → "61,100,840". */
export const grouped = (number) => number.toLocaleString("en");

/** 227 → "227 × 227", never broken over two lines. */
export const square = (side) => `${side}\u00a0×\u00a0${side}`;

/** Bytes as people say them: 16777216 → "16 MiB". */
export function size(bytes) {
  const [unit, divisor] = bytes >= 2 ** 20 ? ["MiB", 2 ** 20] : ["KiB", 2 ** 10];
  return `${Number((bytes / divisor).toFixed(1))} ${unit}`;
}

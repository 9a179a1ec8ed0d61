/** What is to be known about this network before one believes it: its origin, how good it is, what it cannot. */

import { element, grouped, percent, square, the } from "./element.js";

const FEW = 4; // names that a sentence can hold

export function card(model) {
  const { size, stored, resize } = model.input;
  const few = model.classes.length <= FEW && new Intl.ListFormat("en").format(model.classes);
  document.title = `AlexNet: ${model.name}`;
  the("facts").append(
    ...fact("Network", `${model.title} (${model.variant})`),
    ...fact("Numbers it learnt", grouped(model.parameters)),
    ...fact("Names it knows", grouped(model.classes.length)),
    ...fact("Learnt from", learnt(model.trained_on)),
    ...Object.entries(PARTS).flatMap(([part, name]) => fact(name, told(model.scores?.[part]))),
    ...fact("Sees", `${square(size)} pixels: ${RESIZES[resize]}${size < stored ? ", its middle only" : ""}`),
  );
  the("choice").textContent = `the ${grouped(model.classes.length)} names it knows${few ? `, ${few}` : ""}`;
  the("knows").textContent = `It knows ${few ? `nothing but ${few}` : `${grouped(model.classes.length)} names`}. `
    + "Anything else it takes for one of them, and may still sound sure.";
  the("medium").textContent = medium(model);
  the("limits").append(...limits(model).map((text) => element("p", {}, text)));
  names(model.classes);
}

const PARTS = { test: "On pictures it never saw", validation: "On pictures set aside while it learnt" };
/** The line below a title in a museum. */
function medium(model) {
  const score = told(model.scores?.test);
  const [from, right] = [learnt(model.trained_on), score && `; ${score}`];
  return `${model.title}. ${grouped(model.parameters)} numbers${from ? `, learnt from ${from}` : ""}${right ?? ""}.`;
}

const RESIZES = {
  crop: "your picture made small, cut to a square",
  squash: "your picture squashed to a square",
  pad: "your picture made small, filled up to a square",
};

function fact(name, value) {
  return value ? [element("dt", {}, name), element("dd", {}, value)] : [];
}

/** What it was trained on: a name, or {name, counts: {part: {class: pictures}}}. */
function learnt(trained) {
  if (!trained || typeof trained === "string") return trained;
  const pictures = Object.values(trained.counts?.train ?? {}).reduce((sum, count) => sum + count, 0);
  return [trained.name, pictures && `${grouped(pictures)} pictures`].filter(Boolean).join(", ");
}

function told(score) {
  if (typeof score?.top1 !== "number") return null;
  return `${percent(score.top1)}${score.images ? ` of ${grouped(score.images)}` : ""} right`;
}

function limits({ classes, input }) {
  const few = classes.length <= 12 ? `: ${classes.join(", ")}` : "";
  return [
    `It knows ${grouped(classes.length)} names and nothing else${few}. Whatever you show it, it must answer with one ` +
      "of them; it cannot say “none of these”.",
    "Its percentages add up to 100 over its names. A high one says that the others fit less, not that it is right.",
    `It sees ${square(input.size)} pixels, shown in the frame. What you see in your picture and it does not ` +
      "may be missing there.",
    "It learnt from pictures that people chose. What they left out, it has never seen; what they got wrong, it " +
      "repeats. Decide nothing about people with it.",
  ];
}

function names(classes) {
  the("classes-title").textContent = `The ${grouped(classes.length)} names it knows`;
  the("search-label").hidden = classes.length < 24;
  const items = classes.map((name) => element("li", {}, name));
  the("classes").append(...items);
  the("search").addEventListener("input", ({ target }) => {
    const wanted = target.value.trim().toLowerCase();
    for (const [place, item] of items.entries()) item.hidden = !classes[place].toLowerCase().includes(wanted);
  });
}

/** The nearest pictures of the server's collection, when it has one. */

import { element, the } from "./element.js";

const COUNT = 8;

export function alike(server, model, visit) {
  if (!model.index) return;
  the("alike").hidden = false;
  document.querySelector('a[href="#alike"]').hidden = false;
  visit.addEventListener("choose", async () => {
    const exhibit = visit.current;
    the("alike-text").hidden = Boolean(exhibit);
    the("neighbours").removeAttribute("aria-busy");
    if (!exhibit) return the("neighbours").replaceChildren();
    the("neighbours").setAttribute("aria-busy", "true");
    const items = await exhibit.alike(COUNT).then(
      (nearest) => nearest.map((neighbour, place) => item(server, neighbour, place)),
      (refusal) => [element("li", { className: "soft" }, refusal.message)],
    );
    if (visit.current !== exhibit) return;
    the("neighbours").replaceChildren(...items);
    the("neighbours").removeAttribute("aria-busy");
  });
}

function item(server, { row, name, label, distance }, place) {
  const image = element("img", { alt: "", width: 128, height: 128 });
  image.style.setProperty("--place", place);
  server.picture(`/v1/neighbours/${row}`).then(
    (blob) => {
      image.src = URL.createObjectURL(blob);
      image.onload = () => URL.revokeObjectURL(image.src); // it is painted, the file may go
    },
    () => {}, // its place stays empty
  );
  const far = element("span", { className: "soft" }, `distance ${Number(distance).toPrecision(3)}`);
  return element("li", { title: name }, image, element("span", {}, label || name), far);
}

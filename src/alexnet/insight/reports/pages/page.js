"use strict";
// Tables that can be sorted get a button in each heading; without this script they stay in the order of the file.
for (const table of document.querySelectorAll("table[data-sort]")) {
  const value = (row, column) => row.cells[column].textContent.trim();
  const number = (text) => (text ? parseFloat(text.replace(/,/g, "")) : -1);
  const order = (column) => (a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    if (column === 0) return x.localeCompare(y, undefined, { numeric: true });
    return number(x) - number(y);
  };
  for (const heading of table.tHead.rows[0].cells) {
    if ("plain" in heading.dataset) continue;
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].sort(order(heading.cellIndex));
      table.tBodies[0].append(...(up ? rows : rows.reverse()));
    });
  }
}

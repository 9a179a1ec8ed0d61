/** Shows /openapi.json to people: what can be asked, with what, and what comes back. */

const KEYWORDS = { minimum: "at least", maximum: "at most", default: "by default" };

function element(name, ...content) {
  const made = document.createElement(name);
  made.append(...content);
  return made;
}

/** "whole number, at least 1, at most 1000, by default 5" */
function kind(schema, components) {
  const named = schema.$ref ? components[schema.$ref.split("/").at(-1)] : (schema.anyOf?.[0] ?? schema);
  const type = named.enum ? named.enum.join(" or ") : { integer: "whole number", string: "text" }[named.type] ?? named.type;
  const bounds = Object.entries(KEYWORDS)
    .filter(([key]) => (schema[key] ?? named[key]) !== undefined)
    .map(([key, words]) => `${words} ${schema[key] ?? named[key]}`);
  return [type, ...bounds].join(", ");
}

function list(title, entries) {
  if (!entries.length) return [];
  const rows = entries.flatMap(([term, ...about]) => [element("dt", element("code", term)), element("dd", ...about)]);
  return [element("h3", title), element("dl", ...rows)];
}

function operation(path, method, { description, parameters = [], requestBody, responses }, components) {
  const asked = parameters.map(({ name, schema, description: words }) => [name, `${words} (${kind(schema, components)})`]);
  const sent = Object.keys(requestBody?.content ?? {}).map((type) => [type, type.startsWith("multipart") ? "files" : "a picture"]);
  const back = Object.entries(responses).map(([status, { description: words, content }]) => [
    status,
    `${words} ${Object.keys(content ?? {}).join(", ")}`,
  ]);
  const heading = element("h2", element("b", method.toUpperCase()), " ", element("code", path));
  const words = (description ?? "").split("\n\n").map((text) => element("p", text));
  const parts = [list("Asked", asked), list("Sent", sent), list("Comes back", back)].flat();
  return element("section", heading, ...words, ...parts);
}

const main = document.getElementById("operations");
document.getElementById("example").textContent = `curl --data-binary @cat.jpg '${location.origin}/v1/predict?top=3'`;
const answer = await fetch("/openapi.json").catch(() => null);
if (answer?.ok) {
  const { paths, components } = await answer.json();
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, about] of Object.entries(operations)) main.append(operation(path, method, about, components?.schemas ?? {}));
  }
} else {
  main.append(element("p", "The server does not answer. Perhaps it was stopped."));
}
main.removeAttribute("aria-busy");

/** The page, put together: ask the server what it serves, then open the doors. */

import { alike } from "./alike.js";
import { arrivals } from "./arrivals.js";
import { asking } from "./asking.js";
import { camera } from "./camera.js";
import { card } from "./card.js";
import { drawing } from "./drawing.js";
import { key } from "./key.js";
import { note, say } from "./say.js";
import { Server } from "./server.js";
import { Stage } from "./stage.js";
import { Visit } from "./visit.js";
import { Walk } from "./walk.js";

const busy = (seconds) => `The server is busy; asking again in ${seconds} s …`;
const server = new Server((seconds) => say(seconds ? busy(seconds) : "The server answers again."), key);
const { promise: ready, resolve: admit } = Promise.withResolvers();

/** Opens the page for a model, once the server tells of it. */
async function open() {
  let model;
  try {
    model = await server.document("/v1/model");
  } catch (refusal) {
    return note("", refusal.message, open);
  }
  const visit = new Visit(model);
  const welcome = asking(server, model, visit);
  new Stage(model, visit);
  new Walk(server, model, visit);
  alike(server, model, visit);
  card(model);
  camera(server, welcome);
  drawing(server, welcome);
  admit(welcome);
}

arrivals(async (files) => (await ready)(files)); // from the first moment: a browser opens what nobody takes
open();

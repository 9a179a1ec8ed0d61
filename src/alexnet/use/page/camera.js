/** The webcam: a dialog that guesses as one moves, and hangs a moment when asked to. */

import { element, the } from "./element.js";
import { live, snapshot } from "./live.js";
import { note } from "./say.js";

const PAUSE = 600; // ms between guesses, so that a class of thirty does not fill the queue
const UNSAFE = "browsers lend it only to pages on this computer or over https.";
const DENIED = "the browser was told not to lend it to this page.";
const MISSING = "none was found, or another program uses it.";
const SIDE = 480; // pixels of the square that is cut from the middle

export function camera(server, welcome) {
  const [dialog, video] = [the("camera"), the("video")];
  const guess = live(server, the("camera-guess"));
  const canvas = element("canvas", { width: SIDE, height: SIDE });
  let timer = null;
  let moments = 0;

  the("open-camera").addEventListener("click", open);
  the("close-camera").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop);
  the("take").addEventListener("click", async () => {
    still();
    const picture = new File([await snapshot(canvas)], `webcam ${++moments}`, { type: "image/png" });
    dialog.close();
    welcome([picture]);
  });

  async function open() {
    if (!navigator.mediaDevices) return note("Webcam:", UNSAFE);
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 640, facingMode: "environment" } });
    } catch (refused) {
      return note("Webcam:", refused.name === "NotAllowedError" ? DENIED : MISSING);
    }
    await video.play();
    the("camera-guess").textContent = "…";
    dialog.showModal();
    timer = setInterval(() => guess(still()), PAUSE);
  }

  /** The middle of what is to be seen right now, on the canvas. */
  function still() {
    const { videoWidth: width, videoHeight: height } = video;
    const side = Math.min(width, height);
    canvas.getContext("2d").drawImage(video, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
    return canvas;
  }

  function stop() {
    clearInterval(timer);
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  }
}

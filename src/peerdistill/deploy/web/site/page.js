// The page: from a file to bars.

import { InferenceSession, Tensor, env } from "./ort.wasm.bundle.min.mjs";
import { Unreadable, pixelsOf } from "./picture.js";
import { planes, square } from "./resample.js";

const MOST_SHOWN = 5;
const element = (id) => document.getElementById(id);
const say = (sentence) => { element("status").textContent = sentence; };

// Threads would need headers that simple servers do not send.
env.wasm.numThreads = 1;
env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };

async function load() {
  const answer = await fetch("leader-card.json");
  if (!answer.ok) throw new Error(`leader-card.json: ${answer.status} ${answer.statusText}`);
  const card = await answer.json();
  describe(card);
  const session = await InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  const empty = new Float32Array(card.channels * card.image_size ** 2);
  await run(session, card, empty); // the first run is slower than the others
  return { card, session };
}

async function run(session, card, images) {
  const shape = [1, card.channels, card.image_size, card.image_size];
  const found = await session.run({ images: new Tensor("float32", images, shape) });
  return found[card.output].data;
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function describe(card) {
  const { image_size: size, class_names: names } = card;
  const peers = card.peers > 1 ? `, trained with ${card.method ?? "peers"} (${card.peers} peers)` : "";
  element("network").textContent = `${card.backbone}${peers}: ${names.length} classes, ${size} x ${size} pixels.`;
  element("all-classes-title").textContent = `All ${names.length} classes`;
  element("all-classes").replaceChildren(...names.map((name) => textElement("li", name)));
  const shorter = Math.round(size / card.crop);
  element("preparation").textContent =
    `The picture is turned upright, transparent parts become white${card.channels === 1 ? ", colours become grey" : ""}, ` +
    `the shorter side becomes ${shorter} pixels (${card.interpolation} filter, antialiased), and the central ` +
    `${size} x ${size} pixels are kept.`;
}

function textElement(kind, text, name = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

let latest = 0;

async function classify(network, file) {
  const turn = ++latest;
  say(`Classifying ${file.name || "the picture"} …`);
  try {
    const start = performance.now();
    const pixels = square(await pixelsOf(file), network.card);
    const prepared = performance.now();
    const probabilities = softmax(await run(network.session, network.card, planes(pixels, network.card)));
    const done = performance.now();
    if (turn !== latest) return; // another picture was chosen meanwhile
    showPictures(file, pixels, network.card);
    showClasses(probabilities, network.card.class_names);
    element("latency").textContent =
      `Decoded and resized in ${milliseconds(prepared - start)}, classified in ${milliseconds(done - prepared)}.`;
  } catch (error) {
    if (turn !== latest) return;
    element("result").hidden = true;
    say(error instanceof Unreadable ? error.message : `The picture cannot be classified: ${error.message}`);
  }
}

const milliseconds = (time) => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function showPictures(file, pixels, card) {
  const shown = element("picture");
  URL.revokeObjectURL(shown.src);
  shown.src = URL.createObjectURL(file);
  element("picture-name").textContent = file.name || "";
  const size = card.image_size;
  const canvas = element("seen");
  canvas.width = canvas.height = size;
  const data = new ImageData(size, size);
  for (let k = 0; k < size * size; k++) {
    for (let c = 0; c < 3; c++) data.data[4 * k + c] = pixels[k * card.channels + (card.channels === 1 ? 0 : c)];
    data.data[4 * k + 3] = 255;
  }
  canvas.getContext("2d").putImageData(data, 0, 0);
  element("seen-caption").textContent = `what the network sees (${size} x ${size})`;
}

function showClasses(probabilities, names) {
  const order = names.map((_, k) => k).sort((a, b) => probabilities[b] - probabilities[a]);
  const best = order.slice(0, MOST_SHOWN);
  element("classes").replaceChildren(...best.map((k) => row(names[k], probabilities[k])));
  element("result").hidden = false;
  say(`${names[best[0]]}, ${percent(probabilities[best[0]])}`);
}

function row(name, probability) {
  const made = document.createElement("li");
  made.dataset.probability = probability;
  const bar = textElement("span", "", "bar");
  bar.style.setProperty("--share", probability); // through the object model: allowed by the policy
  made.append(textElement("span", name, "name"), textElement("span", percent(probability), "percent"), bar);
  return made;
}

function listen(network) {
  const take = (files) => {
    const [file] = files ?? [];
    if (file) classify(network, file);
  };
  for (const id of ["file", "camera"]) {
    const input = element(id);
    input.disabled = false;
    input.addEventListener("change", () => {
      take(input.files);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  const body = document.body;
  const over = (event) => {
    event.preventDefault();
    body.classList.toggle("over", event.type === "dragover");
  };
  body.addEventListener("dragover", over);
  body.addEventListener("dragleave", over);
  body.addEventListener("drop", (event) => {
    over(event);
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
}

try {
  say("Loading the network …");
  listen(await load());
  say("Ready.");
} catch (error) {
  say(`The network cannot be loaded: ${error.message}`);
}

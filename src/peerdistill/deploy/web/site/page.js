// The page: from a file to bars.

import { Examples } from "./examples.js";
import { loadCard, loadNetwork, softmax } from "./network.js";
import { Unreadable, pixelsOf } from "./picture.js";
import { square } from "./resample.js";

const MOST_SHOWN = 5;
const element = (id) => document.getElementById(id);
const say = (sentence) => { element("status").textContent = sentence; };
const milliseconds = (time) => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function textElement(kind, text, name = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

class Page {
  constructor(card, network) {
    Object.assign(this, { card, network, turn: 0, current: null, examples: null });
    if (card.class_names.length === 0) this.#askForExamples();
  }

  #askForExamples() {
    const featuresOf = async (file) => (await this.#read(file))?.outputs ?? null;
    this.examples = new Examples(element("example-classes"), element("example-class"), featuresOf, (how) => this.#show(how));
    element("add-class").addEventListener("click", () => this.examples.add());
    element("examples").hidden = false;
    element("all-classes-title").parentElement.hidden = true;
  }

  /** Classify a file, unless another one is chosen before the answer is known. */
  async classify(file) {
    const turn = ++this.turn;
    const read = await this.#read(file);
    if (turn !== this.turn) return;
    this.current = read === null ? null : { file, ...read };
    if (read === null) element("result").hidden = true;
    else this.#show();
  }

  /** Return pixels, outputs of the network and times of a file, or null after saying why there are none. */
  async #read(file) {
    say(`Reading ${file.name || "the picture"} …`);
    try {
      const start = performance.now();
      const pixels = square(await pixelsOf(file), this.card);
      const prepared = performance.now();
      const outputs = Array.from(await this.network(pixels));
      return { pixels, outputs, preparing: prepared - start, running: performance.now() - prepared };
    } catch (error) {
      say(error instanceof Unreadable ? error.message : `The picture cannot be classified: ${error.message}`);
      return null;
    }
  }

  #show({ keepStatus = false } = {}) {
    const names = this.examples?.names ?? this.card.class_names;
    const enough = names.length >= 2;
    const shown = enough && this.current !== null;
    element("result").hidden = !shown;
    const waiting = enough ? "Ready to classify a picture." : "Add example pictures to at least two classes.";
    const sentence = shown ? this.#showCurrent(names) : waiting;
    if (!keepStatus) say(sentence);
  }

  #showCurrent(names) {
    const { file, pixels, outputs, preparing, running } = this.current;
    showPicture(file);
    showSquare(pixels, this.card);
    element("latency").textContent = `Decoded and resized in ${milliseconds(preparing)}, classified in ${milliseconds(running)}.`;
    return showClasses(softmax(this.examples?.logits(outputs) ?? outputs), names);
  }
}

function describe(card) {
  const { image_size: size, class_names: names, backbone } = card;
  const peers = card.peers > 1 ? `, trained with ${card.method ?? "peers"} (${card.peers} peers)` : "";
  const classes = names.length === 0 ? "classes by examples" : `${names.length} classes`;
  element("network").textContent = `${backbone}${peers}: ${classes}, ${size} x ${size} pixels.`;
  element("all-classes-title").textContent = `All ${names.length} classes`;
  element("all-classes").replaceChildren(...names.map((name) => textElement("li", name)));
  element("preparation").textContent =
    `The picture is turned upright, transparent parts become white${card.channels === 1 ? ", colours become grey" : ""}, ` +
    `the shorter side becomes ${Math.round(size / card.crop)} pixels (${card.interpolation} filter, antialiased), and the ` +
    `central ${size} x ${size} pixels are kept.`;
}

function showPicture(file) {
  const shown = element("picture");
  URL.revokeObjectURL(shown.src);
  shown.src = URL.createObjectURL(file);
  element("picture-name").textContent = file.name || "";
}

function showSquare(pixels, { image_size: size, channels }) {
  const canvas = element("seen");
  canvas.width = canvas.height = size;
  const image = new ImageData(size, size);
  for (let k = 0; k < size * size; k++) {
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = pixels[k * channels + Math.min(c, channels - 1)];
    image.data[4 * k + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  element("seen-caption").textContent = `what the network sees (${size} x ${size})`;
}

// Returns the answer as a sentence.
function showClasses(probabilities, names) {
  const order = names.map((_, k) => k).sort((a, b) => probabilities[b] - probabilities[a]);
  const best = order.slice(0, MOST_SHOWN);
  element("classes").replaceChildren(...best.map((k) => bar(names[k], probabilities[k])));
  return `${names[best[0]]}, ${percent(probabilities[best[0]])}`;
}

function bar(name, probability) {
  const made = document.createElement("li");
  made.dataset.probability = probability;
  const filled = textElement("span", "", "bar");
  filled.style.setProperty("--share", probability); // through the object model: allowed by the policy
  made.append(textElement("span", name, "name"), textElement("span", percent(probability), "percent"), filled);
  return made;
}

function listen(page) {
  const take = (files) => {
    const [file] = files ?? [];
    if (file) page.classify(file);
  };
  for (const id of ["file", "camera"]) {
    const input = element(id);
    input.disabled = false;
    input.addEventListener("change", () => {
      take(input.files);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  const over = (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", event.type === "dragover");
  };
  document.body.addEventListener("dragover", over);
  document.body.addEventListener("dragleave", over);
  document.body.addEventListener("drop", (event) => {
    over(event);
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
}

try {
  say("Loading the network …");
  const card = await loadCard();
  describe(card);
  listen(new Page(card, await loadNetwork(card)));
  say(card.class_names.length === 0 ? "Ready. Add example pictures to at least two classes." : "Ready.");
} catch (error) {
  say(`The network cannot be loaded: ${error.message}`);
}

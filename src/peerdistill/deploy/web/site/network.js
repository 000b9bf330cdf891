// The network: from prepared pixels to logits or, of an encoder, features.

import { InferenceSession, Tensor, env } from "./ort.wasm.bundle.min.mjs";
import { planes } from "./resample.js";

// Threads would need headers that simple servers do not send.
env.wasm.numThreads = 1;
env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };

/** @returns {Promise<object>} The card: preparation of pictures, classes, and what the network is. */
export async function loadCard() {
  const answer = await fetch("leader-card.json");
  if (!answer.ok) throw new Error(`leader-card.json: ${answer.status} ${answer.statusText}`);
  return answer.json();
}

/** @returns {Promise<function>} A function from the pixels of a square to the network's outputs. */
export async function loadNetwork(card) {
  const session = await InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  const shape = [1, card.channels, card.image_size, card.image_size];
  const run = async (pixels) => {
    const found = await session.run({ images: new Tensor("float32", planes(pixels, card), shape) });
    return found[card.output].data;
  };
  await run(new Uint8Array(card.channels * card.image_size ** 2)); // the first run is slower than the others
  return run;
}

/** @returns {number[]} Probabilities. */
export function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

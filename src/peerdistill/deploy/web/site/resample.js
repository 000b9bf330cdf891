// The central square of a picture, resized exactly as Pillow does it: same filters, same fixed-point arithmetic,
// same rounding. Canvases smooth in ways of their own, which changes what a network sees.

const PRECISION = 22; // bits of a weight behind the point
const LONGEST = 64; // strips with longer sides are not resized as a whole

const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: cubic },
};

function cubic(x) {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
  return 0;
}

// Python's round(): halves go to the even neighbour.
export function round(value) {
  const lower = Math.floor(value);
  const rest = value - lower;
  return rest < 0.5 || (rest === 0.5 && lower % 2 === 0) ? lower : lower + 1;
}

// Weights of one axis for `count` results from `first` on, if the pixels from `start` to `end` become `extent` results.
function axisWeights(filter, length, start, end, extent, first, count) {
  const scale = Math.fround(end - start) / extent;
  const stretch = Math.max(scale, 1); // antialiasing: the filter covers all pixels of a result
  const support = filter.support * stretch;
  const size = Math.ceil(support) * 2 + 1;
  const weights = new Int32Array(count * size);
  const lows = new Int32Array(count);
  const numbers = new Int32Array(count);
  const row = new Float64Array(size);
  for (let k = 0; k < count; k++) {
    const center = start + (first + k + 0.5) * scale;
    const low = Math.max(0, Math.trunc(center - support + 0.5));
    const number = Math.min(length, Math.trunc(center + support + 0.5)) - low;
    let sum = 0;
    for (let i = 0; i < number; i++) {
      row[i] = filter.weight((low + i - center + 0.5) * (1 / stretch));
      sum += row[i];
    }
    for (let i = 0; i < number; i++) {
      const weight = (sum === 0 ? row[i] : row[i] / sum) * (1 << PRECISION);
      weights[k * size + i] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    lows[k] = low;
    numbers[k] = number;
  }
  return { size, weights, lows, numbers };
}

const HALF = 1 << (PRECISION - 1);
const clamp = (sum) => Math.min(255, Math.max(0, sum >> PRECISION));

const spanOf = (axis) => [axis.lows[0], axis.lows.at(-1) + axis.numbers.at(-1)];

// A part of a picture: `step` values from one pixel to the next; its first pixel is at (left, top) of the picture.
function resizeAcross(part, channels, axis, [top, bottom]) {
  const count = axis.lows.length;
  const data = new Uint8Array((bottom - top) * count * channels);
  for (let y = top, at = 0; y < bottom; y++) {
    for (let k = 0; k < count; k++) {
      const origin = ((y - part.top) * part.width + axis.lows[k] - part.left) * part.step;
      for (let c = 0; c < channels; c++) {
        let sum = HALF;
        for (let i = 0, from = origin + c, w = k * axis.size; i < axis.numbers[k]; i++, from += part.step, w++) {
          sum = (sum + part.data[from] * axis.weights[w]) | 0;
        }
        data[at++] = clamp(sum);
      }
    }
  }
  return { data, width: count, step: channels, left: 0, top };
}

function resizeDown(part, channels, axis, [left, right]) {
  const count = axis.lows.length;
  const row = part.width * part.step;
  const data = new Uint8Array(count * (right - left) * channels);
  for (let k = 0, at = 0; k < count; k++) {
    const origin = (axis.lows[k] - part.top) * row;
    for (let x = left - part.left; x < right - part.left; x++) {
      for (let c = 0; c < channels; c++) {
        let sum = HALF;
        for (let i = 0, from = origin + x * part.step + c, w = k * axis.size; i < axis.numbers[k]; i++, from += row, w++) {
          sum = (sum + part.data[from] * axis.weights[w]) | 0;
        }
        data[at++] = clamp(sum);
      }
    }
  }
  return { data, width: right - left, step: channels, left, top: 0 };
}

// Pillow's conversion from RGB to grey.
function grey(pixels) {
  const result = new Uint8Array(pixels.length / 4);
  for (let k = 0, from = 0; k < result.length; k++, from += 4) {
    result[k] = (pixels[from] * 19595 + pixels[from + 1] * 38470 + pixels[from + 2] * 7471 + 0x8000) >> 16;
  }
  return result;
}

/**
 * The central square of a picture: the shorter side becomes size / crop pixels, of which the central ones are kept.
 *
 * @param picture {data, width, height} with four values per pixel; the fourth is ignored.
 * @param card {image_size, channels, crop, interpolation} of the network.
 * @returns Uint8Array of image_size * image_size * channels values, row by row.
 */
export function square(picture, card) {
  const { width, height } = picture;
  const { image_size: size, channels } = card;
  const filter = FILTERS[card.interpolation];
  const shorter = round(size / card.crop);
  const sides = [width, height];
  const extents = sides.map((side) => Math.trunc((shorter * side) / Math.min(width, height)));
  const firsts = extents.map((extent) => round((extent - size) / 2));
  const whole = Math.max(...extents) <= LONGEST * shorter;
  const [across, down] = sides.map((side, k) => {
    if (whole) return axisWeights(filter, side, 0, side, extents[k], firsts[k], size);
    const step = side / extents[k]; // Pillow holds the edges of a part in 32 bits
    return axisWeights(filter, side, Math.fround(firsts[k] * step), Math.fround((firsts[k] + size) * step), size, 0, size);
  });
  const [data, step] = channels === 1 ? [grey(picture.data), 1] : [picture.data, 4];
  const part = { data, width, step, left: 0, top: 0 };
  if (startsDown(sides, whole ? extents : [size, size])) {
    const lowered = resizeDown(part, channels, down, spanOf(across));
    return resizeAcross(lowered, channels, across, [0, size]).data;
  }
  const narrowed = resizeAcross(part, channels, across, spanOf(down));
  return resizeDown(narrowed, channels, down, [0, size]).data;
}

// Pillow from version 13 on reduces tall pictures by columns first. (Earlier versions: one level of difference at most.)
function startsDown([width, height], [across, down]) {
  return height - down > Math.max(0, 2 * (width - across));
}

/** The square as the network's input: channel by channel, from 0 to 1. */
export function planes(pixels, card) {
  const area = card.image_size ** 2;
  return Float32Array.from({ length: pixels.length }, (_, k) => pixels[(k % area) * card.channels + Math.floor(k / area)] / 255);
}

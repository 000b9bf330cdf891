// The pixels of a picture file, upright and laid over white.

const MOST_PIXELS = 2 ** 26;

export class Unreadable extends Error {}

/**
 * @param file A File or Blob.
 * @returns ImageData.
 */
export async function pixelsOf(file) {
  const name = file.name || "The picture";
  let bitmap;
  try {
    // As Pillow: values as they are in the file. Browsers would apply colour profiles.
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Unreadable(`${name} is not a picture that this browser can read. Most browsers read PNG, JPEG, WebP, GIF, BMP and AVIF.`);
  }
  try {
    return pixelsOfBitmap(bitmap, name);
  } finally {
    bitmap.close();
  }
}

function pixelsOfBitmap(bitmap, name) {
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    throw new Unreadable(`${name} has ${width} x ${height} pixels, and this page takes ${Math.floor(MOST_PIXELS / 1e6)} megapixels at most.`);
  }
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, width, height);
}

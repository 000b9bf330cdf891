"""Export a leader to ONNX, and serve it over HTTP.

The server needs numpy, Pillow and onnxruntime, but neither PyTorch nor peerdistill:

    python examples/export_and_serve.py
    curl --data-binary @digit.png http://127.0.0.1:8000

It answers with the probability of each class as JSON. It is a small example for a trusted network; in production, put
the same `classify` behind a server of your choice.
"""

import io
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

LARGEST_BYTES = 20_000_000


class Leader:
    """An exported leader. The file carries its class names and the size of its images."""

    def __init__(self, file: str | Path):
        self.session = onnxruntime.InferenceSession(file)
        texts = self.session.get_modelmeta().custom_metadata_map
        self.classes, self.size, self.channels, self.crop = (
            json.loads(texts[f"peerdistill.{name}"]) for name in ("class_names", "image_size", "channels", "crop")
        )

    def classify(self, content: bytes) -> dict[str, float]:
        """Return the probability of each class for the content of a picture file."""
        picture = Image.open(io.BytesIO(content)).convert("L" if self.channels == 1 else "RGB")
        # The shorter side becomes size / crop pixels, and the central square is kept. docs/deployment.md has the
        # complete preparation, with rotated and transparent pictures.
        width, height = (int(round(self.size / self.crop) * side / min(picture.size)) for side in picture.size)
        left, upper = round((width - self.size) / 2), round((height - self.size) / 2)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        picture = picture.crop((left, upper, left + self.size, upper + self.size))
        pixels = np.asarray(picture, np.float32).reshape(1, self.size, self.size, -1).transpose(0, 3, 1, 2) / 255
        logits = self.session.run(["logits"], {"images": pixels})[0][0].astype(np.float64)
        powers = np.exp(logits - logits.max())
        return dict(zip(self.classes, (powers / powers.sum()).tolist(), strict=True))


def server(leader: Leader, port: int = 8000) -> ThreadingHTTPServer:
    """Return a server that classifies the picture in the body of a POST request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers.get("Content-Length", 0))
            if length > LARGEST_BYTES:
                self.send_error(413)
                return
            try:
                answer = leader.classify(self.rfile.read(length))
            except OSError:  # Pillow's error for what is not a picture
                self.send_error(415, "the body is not a picture")
                return
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def export(file: str | Path, folder: str | Path, epochs: int = 3) -> None:
    """Train on the digits of scikit-learn, and write the leader to an ONNX file."""
    import peerdistill as pdl  # only here: the server does not need it

    run = pdl.train("digits", backbone="resnet8", peers=2, epochs=epochs, run=folder)
    run.export("onnx", file)


if __name__ == "__main__":
    if not Path("leader.onnx").exists():
        export("leader.onnx", "runs/served")
    print("http://127.0.0.1:8000")
    server(Leader("leader.onnx")).serve_forever()

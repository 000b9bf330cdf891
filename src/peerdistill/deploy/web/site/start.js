// A classic script, which also runs where modules do not, and says why the page stays empty.
"use strict";

const serve = "Serve its folder, for example with “python -m http.server” in it, and open http://localhost:8000.";

function fail(sentence) {
  document.getElementById("status").textContent = sentence;
}

if (location.protocol === "file:") {
  fail(`This page was opened as a file, and browsers do not let files load programs and networks. ${serve}`);
} else {
  import("./page.js").catch((error) => fail(`The program of this page cannot be loaded (${error.message}). ${serve}`));
}

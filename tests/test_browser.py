"""The browser of the tests reports what a page asks for and complains about, so that other tests can rely on it."""

import pytest

PAGE = """<!doctype html><title>page</title><link rel="icon" href="data:,"><p id="found">waiting</p>
<script>
  const code = "fetch('http://far.example/worker').catch(() => postMessage('worker refused'))";
  const worker = new Worker(URL.createObjectURL(new Blob([code])));
  worker.onmessage = async (message) => {
    await fetch("http://far.example/page").catch(() => 0);
    document.getElementById("found").textContent = message.data + ", " + await (await fetch("data.txt")).text();
  };
  console.error("a complaint");
  throw new Error("not caught");
</script>"""


@pytest.fixture
def site(tmp_path, serve_folder):
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "data.txt").write_text("served")
    return serve_folder(tmp_path)


def test_a_page_is_served_and_its_errors_and_requests_are_recorded(site, open_page):
    opened = open_page(site)
    opened.page.get_by_text("worker refused, served").wait_for()
    assert {"a complaint", "not caught"} <= set(opened.errors)
    assert set(opened.foreign_requests(site)) == {"http://far.example/page", "http://far.example/worker"}


def test_a_file_opens_with_the_size_and_colours_that_were_asked_for(tmp_path, open_page):
    file = tmp_path / "a page.html"
    file.write_text("<!doctype html><title>page</title><p>here")
    opened = open_page(file, width=390, height=844, scheme="dark", touch=True)
    assert opened.errors == []
    assert opened.foreign_requests(file.as_uri()) == []
    asked = (
        "[innerWidth, innerHeight, matchMedia('(prefers-color-scheme: dark)').matches, navigator.maxTouchPoints > 0]"
    )
    assert opened.page.evaluate(asked) == [390, 844, True, True]

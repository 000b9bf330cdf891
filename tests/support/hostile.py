"""Names of classes and folders that try to leave the text of a page."""

CLASS_NAMES = (
    "</script><script>window.hacked = 1</script>",
    "<b>bold</b> &lt; \u202egnp.exe\x1b[31m",
    "قط 😀",
    "%{y} <a href='x'> {{ 1 }}",
)
FOLDER = "<img src=x onerror=window.hacked=1>"

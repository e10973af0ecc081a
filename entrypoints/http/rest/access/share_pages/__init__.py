"""Pages for people who open a share link in a browser: one for the password, and one to upload files.

The files in this folder are the pages: `style.css` is put into both, and `upload.js` into the second. There is nothing
in them of a link: they are the same for all, and reveal nothing.
"""

from pathlib import Path

from litestar import Response
from litestar.types import HTTPScope

from entrypoints.http.protocol.fields.content_security import hash_source
from entrypoints.http.protocol.fields.header_values import quality

FOLDER = Path(__file__).parent
HTML = "text/html; charset=utf-8"
WRONG = '<p role="alert">This is not the password. Try again.</p>'


def is_wanted(scope: HTTPScope) -> bool:
    """Return whether a request is that of a browser for a page. Other programs do not name HTML in Accept."""
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
    ranges = [each.split(";") for each in accept[:1000].split(",")]
    return scope["method"] == "GET" and any(
        kind.strip().lower() == "text/html" and quality(rest) > 0 for kind, *rest in ranges
    )


class Page:
    """A page, with its style and its script in it. Nothing else may run or be loaded."""

    def __init__(self, name: str, script: str = "") -> None:
        style = (FOLDER / "style.css").read_text()
        code = (FOLDER / script).read_text() if script else ""
        page = (FOLDER / name).read_text()
        self._text = page.replace("{style}", style).replace("{script}", code)
        styles = f"style-src {hash_source(style.encode())}; "
        scripts = f"script-src {hash_source(code.encode())}; connect-src 'self'; " if script else ""
        self._policy = (
            f"default-src 'none'; {styles}{scripts}form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    def response(self, status: int = 200, message: str = "") -> Response[str]:
        """Return the page, with a message of ours in HTML."""
        headers = {"Content-Security-Policy": self._policy, "Cache-Control": "no-store", "Vary": "Accept"}
        return Response(
            self._text.replace("{message}", message), status_code=status, media_type="text/html", headers=headers
        )


PASSWORD = Page("password.html")
UPLOAD = Page("upload.html", "upload.js")

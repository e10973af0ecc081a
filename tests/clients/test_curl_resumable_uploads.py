"""curl uploads in several requests, by the IETF draft."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.containers import engine
from tests.clients.shell import FILM, Shell
from tests.conformance.s3.endpoint import TlsServer
from tests.http.server import SELDOM, Server

# The header of the draft, and a body that is appended. $1 is the offset, $2 the bytes, $3 whether they are the last.
FUNCTIONS = """
ask() { curl --silent --show-error --header "$AUTH" --header "Upload-Draft-Interop-Version: 8" "$@"; }
value() { tr -d '\\r' | sed -n "s/^$1: //Ip"; }
create() { ask --dump-header head --output out --header "Upload-Complete: $1" --header "Upload-Length: $2" \\
  --header "Content-Type: image/x-film" --upload-file "$3" "$BLOBS/$4"; UPLOAD=$(value location < head); \\
  case "$UPLOAD" in /*) UPLOAD="${BLOBS%/v1/blobs}$UPLOAD";; esac; }
offset() { ask --head "$UPLOAD" | value upload-offset; }
append() { ask --request PATCH --header "Upload-Offset: $1" --header "Upload-Complete: $3" \\
  --header "Content-Type: application/partial-upload" --data-binary "@$2" \\
  --write-out '%{http_code}' --output out "$UPLOAD"; }
"""


@pytest.fixture(scope="module", params=["http", "https"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clients")
    kind = TlsServer if request.param == "https" else Server
    with kind(folder, WORKERS="2", **SELDOM) as server:
        yield server
        assert {line["level"] for line in server.log()} == {"info"}


@pytest.fixture
def shell(server: Server, clients_container: str) -> Iterator[Shell]:
    with engine() as client:
        shell = Shell(client.containers.get(clients_container), server)
        if isinstance(server, TlsServer):
            shell.write(".curlrc", b"cacert = server.pem\n")
            shell.write("server.pem", Path(server.certificate).read_bytes())
        shell.write("film", FILM)
        yield shell


def is_stored(server: Server, name: str) -> bool:
    with server.client() as client:
        found = client.get(f"/v1/blobs/{name}?alt=media")
    return found.content == FILM and found.headers["Content-Type"] == "image/x-film"


def run(shell: Shell, command: str) -> str:
    done = shell.run(f"export CURL_HOME=$PWD\n{FUNCTIONS}\n{command}")
    assert done.code == 0, done.output
    return done.output


@pytest.mark.docker
class TestCurlResumes:
    def test_an_upload_in_three_requests(self, shell: Shell, server: Server) -> None:
        size = len(FILM)
        output = run(
            shell,
            f"""head -c 3000000 film > first; tail -c +3000001 film | head -c 2000000 > second
            tail -c +5000001 film > third
            create ?0 {size} first a
            offset; append 3000000 second ?0; echo; offset; append 5000000 third ?1""",
        )
        assert output.split()[:3] == ["3000000", "204", "5000000"]
        assert output.split()[3] in ("200", "201")
        assert is_stored(server, "a")

    def test_an_upload_after_curl_was_killed(self, shell: Shell, server: Server) -> None:
        """curl is killed in the middle of a body. What had arrived is kept, and the rest is sent after it.

        It has read more bytes than fit into the buffers of a connection, so some have arrived.
        """
        output = run(
            shell,
            f"""create ?0 {len(FILM)} /dev/null b
            mkfifo pipe
            curl --silent --header "$AUTH" --header "Upload-Draft-Interop-Version: 8" \\
              --request PATCH --header "Upload-Offset: 0" --header "Upload-Complete: ?1" \\
              --header "Content-Type: application/partial-upload" --upload-file - "$UPLOAD" < pipe &
            exec 3> pipe; head -c 8000000 film >&3; kill -KILL $!; wait $! || true
            at=$(offset); echo $at; tail -c +$((at + 1)) film > rest; append $at rest ?1""",
        )
        offset, status = output.split()[-2:]  # the shell says before that curl was killed
        assert 0 < int(offset) < len(FILM)
        assert status in ("200", "201")
        assert is_stored(server, "b")

    def test_a_wrong_offset_is_refused(self, shell: Shell) -> None:
        output = run(
            shell, f"create ?0 {len(FILM)} /dev/null c; append 1 film ?1; echo; grep -o mismatching-upload-offset out"
        )
        assert output.split() == ["409", "mismatching-upload-offset"]

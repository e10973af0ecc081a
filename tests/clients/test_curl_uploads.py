"""curl stores."""

import json

import pytest

from tests.clients.shell import FILM, Shell
from tests.http.server import Server

PUT = 'curl --silent --show-error --header "$AUTH" --output /dev/null --write-out "%{http_code} %{size_upload}"'
TALK = PUT.replace("--silent", "--verbose")


def stored(server: Server, name: str) -> bytes:
    with server.client() as client:
        return client.get(f"/v1/blobs/{name}?alt=media").content


@pytest.mark.docker
class TestCurlStores:
    @pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
    def test_a_file(self, shell: Shell, server: Server, version: str) -> None:
        shell.write("film", FILM)
        for status in (201, 200):
            done = shell.run(f'{PUT} {version} --upload-file film "$BLOBS/up{version}"')
            assert (done.code, done.output) == (0, f"{status} {len(FILM)}")
        assert stored(server, f"up{version}") == FILM

    @pytest.mark.parametrize("version", ["--http1.1", "--http2"])
    def test_what_comes_through_a_pipe(self, shell: Shell, server: Server, version: str) -> None:
        shell.write("film", FILM)
        done = shell.run(
            f'(head -c 5000000 film; sleep 0.2; tail -c +5000001 film) | {PUT} {version} -T - "$BLOBS/pipe{version}"'
        )
        assert (done.code, done.output.split()[0]) == (0, "201")
        assert stored(server, f"pipe{version}") == FILM

    @pytest.mark.parametrize("body", ["-T -", "-T film"])
    def test_once_it_may_go_on(self, shell: Shell, server: Server, body: str) -> None:
        shell.write("film", FILM)
        done = shell.run(f'{TALK} --header "Expect: 100-continue" {body} "$BLOBS/expected" < film')
        assert "< HTTP/1.1 100 Continue" in done.output
        assert stored(server, "expected") == FILM

    @pytest.mark.parametrize("version", ["--http1.1", "--http2"])
    def test_it_resumes_what_broke_off(self, shell: Shell, server: Server, version: str) -> None:
        """The commands of the README, on a link that is cut several times."""
        shell.write("film", FILM)
        done = shell.run(f"""
            ask() {{ curl --silent {version} --header "$AUTH" "$@"; }}
            server=${{BLOBS%/v1/blobs}}
            upload=$server$(ask --header 'Upload-Complete: ?0' --request PUT --data-binary '' --dump-header - \\
                --output /dev/null "$BLOBS/resumed{version}" | tr -d '\\r' | sed -n 's/^location: //p')
            for attempt in 1 2 3 4 5 6 7 8 9; do
                offset=$(ask --head "$upload" | tr -d '\\r' | sed -n 's/^upload-offset: //p')
                tail -c "+$((offset + 1))" film > rest
                limit="--limit-rate 2M --max-time 1"
                test $attempt -lt 4 || limit=
                status=$(ask $limit --request PATCH --data-binary @rest --output /dev/null \\
                    --header 'Content-Type: application/partial-upload' --header "Upload-Offset: $offset" \\
                    --header 'Upload-Complete: ?1' --write-out '%{{http_code}}' "$upload")
                echo "$offset $status"
                test "$status" != 201 || break
            done""")
        lines = [line.split() for line in done.output.splitlines()]
        offsets = [int(offset) for offset, _ in lines]
        cut = {"000", "100"}  # the last one is that of 100 Continue
        assert [status in cut for _, status in lines] == [True, True, True, False], done.output
        assert lines[-1][1] == "201"
        assert offsets == sorted({*offsets}), "each attempt keeps some bytes"
        assert stored(server, f"resumed{version}") == FILM

    def test_not_a_byte_of_what_is_refused(self, shell: Shell) -> None:
        shell.write("film", FILM)
        for set_up, header, status in (
            ("AUTH=A:", "B:", 401),
            ("true", "If-Match: *", 412),
            ("true", "Content-Type: film", 400),
        ):
            done = shell.run(f'{set_up}; {TALK} -H "Expect: 100-continue" -H "{header}" -T film "$BLOBS/refused"')
            assert "100 Continue" not in done.output
            assert f"{status} 0" in done.output

    def test_a_refusal_is_seen_by_who_does_not_wait_for_it(self, shell: Shell) -> None:
        shell.write("film", FILM)
        done = shell.run(f'AUTH=A:; {PUT} --header Expect: -T film "$BLOBS/refused"')
        assert done.output.startswith("401 ")

    def test_no_part_of_a_blob(self, shell: Shell, server: Server) -> None:
        shell.write("film", FILM)
        shell.run(f'{PUT} -T film "$BLOBS/whole"')
        done = shell.run(f'{PUT} --continue-at 5000000 -T film "$BLOBS/whole"')
        assert done.output.startswith("400 ")
        assert stored(server, "whole") == FILM

    def test_no_body_at_all(self, shell: Shell, server: Server) -> None:
        shell.write("empty", b"")
        shell.run(f'{PUT} --request PUT --data kept "$BLOBS/bodiless"')
        assert shell.run(f'{PUT} --request PUT "$BLOBS/bodiless"').output == "411 0"
        assert stored(server, "bodiless") == b"kept"
        assert shell.run(f'{PUT} -T empty "$BLOBS/bodiless"').output == "200 0"
        assert stored(server, "bodiless") == b""

    def test_in_the_json_form(self, shell: Shell, server: Server) -> None:
        post = f'{PUT} --location --header "Content-Type: application/json" "$BLOBS" --data'
        body = '\'{"id":"k5","data":"SGVsbG8gV29ybGQh"}\''
        assert [shell.run(f"{post} {body}").output for _ in range(2)] == ["201 37", "409 37"]
        assert stored(server, "k5") == b"Hello World!"
        shell.run('(printf \'{"id":"ls","data":"\'; base64 --wrap=0 ; printf \'"}\') < /bin/ls > body; cp /bin/ls .')
        assert shell.run(f"{post} @body").output.startswith("201 ")
        got = shell.run('curl --silent --header "$AUTH" "$BLOBS/ls" | cut -d\\" -f8 | base64 -d | cmp - ls')
        assert (got.code, got.output) == (0, "")
        assert json.loads(shell.run('curl --silent --header "$AUTH" "$BLOBS/k5"').output)["size"] == 12

    def test_as_a_form(self, shell: Shell, server: Server) -> None:
        shell.write("film", FILM)
        post = f'{PUT} "$BLOBS"'
        for fields in ("-F id=form-1 -F file=@film", "-F file=@film -F id=form-2", "-F id=form-3 -F 'file=<film'"):
            assert shell.run(f"{post} {fields}").output.startswith("201 ")
        assert [stored(server, f"form-{number}") == FILM for number in (1, 2, 3)] == [True] * 3
        assert shell.run(f"{post} -F id=form-1 -F file=@film").output.startswith("409 ")
        assert shell.run(f'{PUT} --request PUT -F file=@film "$BLOBS/form-4"').output.startswith("415 ")

    def test_what_is_compressed(self, shell: Shell, server: Server) -> None:
        shell.run(f"seq 100000 > page; gzip -c page | {PUT} -H 'Content-Encoding: gzip' -T - \"$BLOBS/page\"")
        got = shell.run('curl --silent --compressed --header "$AUTH" "$BLOBS/page?alt=media" | cmp - page')
        assert (got.code, got.output) == (0, "")

    def test_and_deletes(self, shell: Shell) -> None:
        shell.run(f'{PUT} --request PUT --data x "$BLOBS/a%2F..%2Fb"')
        delete = f'{PUT} --request DELETE "$BLOBS/a%2F..%2Fb"'
        assert [shell.run(delete).output for _ in range(2)] == ["204 0", "404 0"]

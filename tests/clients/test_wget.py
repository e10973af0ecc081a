"""wget."""

from collections.abc import Iterator

import pytest

from tests.clients.shell import FILM, Shell
from tests.http.dates import strong_date
from tests.http.server import Server

GET = 'wget --tries=2 --header="$AUTH" --header="Accept: application/octet-stream"'


@pytest.fixture(scope="module", autouse=True)
def film(server: Server) -> Iterator[None]:
    with server.client() as client:
        client.put("/v1/blobs/films/a%20film.mp4", content=FILM, headers={"Content-Type": "video/mp4"})
        strong_date(client, "/v1/blobs/films/a%20film.mp4")
        yield


@pytest.mark.docker
class TestWget:
    def test_the_whole(self, shell: Shell) -> None:
        done = shell.run(f'{GET} "$BLOBS/films/a%20film.mp4"')
        assert done.code == 0
        assert f"Length: {len(FILM)} (8.6M) [video/mp4]".replace("8.6M", "9.0M") in done.output
        assert shell.has("a film.mp4", FILM)

    def test_the_rest_of_what_is_there(self, shell: Shell) -> None:
        shell.write("a film.mp4", FILM[:3_000_000])
        done = shell.run(f'{GET} --continue "$BLOBS/films/a%20film.mp4"')
        assert done.code == 0
        assert "206 Partial Content" in done.output
        assert shell.has("a film.mp4", FILM)

    def test_nothing_more_of_what_is_whole(self, shell: Shell) -> None:
        shell.write("a film.mp4", FILM)
        done = shell.run(f'{GET} --continue "$BLOBS/films/a%20film.mp4"')
        assert done.code == 0
        assert "416 Range Not Satisfiable" in done.output
        assert "The file is already fully retrieved; nothing to do." in done.output
        assert shell.has("a film.mp4", FILM)

    def test_only_what_has_changed(self, shell: Shell) -> None:
        command = f'{GET} --timestamping "$BLOBS/films/a%20film.mp4"'
        assert "200 OK" in shell.run(command).output
        assert "304 Not Modified" in shell.run(command).output
        assert shell.has("a film.mp4", FILM)

    def test_under_the_name_in_the_response(self, shell: Shell) -> None:
        assert shell.run(f'{GET} --content-disposition "$BLOBS/films%2Fa%20film.mp4"').code == 0
        assert shell.has("a film.mp4", FILM)

    def test_it_stores_too(self, shell: Shell, server: Server) -> None:
        shell.write("film", FILM)
        assert "201 Created" in shell.run(f'{GET} --method=PUT --body-file=film "$BLOBS/wget"').output
        with server.client() as client:
            assert client.get("/v1/blobs/wget?alt=media").content == FILM

    @pytest.mark.parametrize(
        ("path", "code"), [("blobs/films/a", 8), ("blobs/films/a%20film.mp4", 0), ("../health/live", 0)]
    )
    def test_it_asks_whether_there_is_something(self, shell: Shell, path: str, code: int) -> None:
        assert shell.run(f'{GET} --spider "${{BLOBS%blobs}}{path}"').code == code

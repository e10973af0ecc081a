"""curl fetches."""

import httpx
import pytest

from tests.clients.shell import FILM, Shell
from tests.http.server import Server

GET = 'curl --silent --show-error --fail --header "$AUTH" --write-out "%{http_code} %{size_download}"'


@pytest.fixture(scope="module", autouse=True)
def film(server: Server) -> httpx.Response:
    with server.client() as client:
        return client.put("/v1/blobs/film", content=FILM, headers={"Content-Type": "video/mp4"})


@pytest.mark.docker
class TestCurlFetches:
    @pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
    def test_the_whole(self, shell: Shell, version: str) -> None:
        done = shell.run(f'{GET} {version} --output film "$BLOBS/film?alt=media"')
        assert (done.code, done.output) == (0, f"200 {len(FILM)}")
        assert shell.has("film", FILM)

    @pytest.mark.parametrize("there", [1, 1024, 5_000_000, len(FILM) - 1])
    def test_the_rest_of_what_is_there(self, shell: Shell, there: int) -> None:
        shell.write("film", FILM[:there])
        done = shell.run(f'{GET} --continue-at - --output film "$BLOBS/film?alt=media"')
        assert (done.code, done.output) == (0, f"206 {len(FILM) - there}")
        assert shell.has("film", FILM)

    def test_the_rest_when_it_was_cut_off(self, shell: Shell) -> None:
        cut = shell.run(f'{GET} --limit-rate 1M --max-time 1 --output film "$BLOBS/film?alt=media"')
        assert cut.code == 28
        assert shell.run(f'{GET} --continue-at - --output film "$BLOBS/film?alt=media"').output.startswith("206 ")
        assert shell.has("film", FILM)

    def test_nothing_more_of_what_is_whole(self, shell: Shell) -> None:
        shell.write("film", FILM)
        done = shell.run(f'{GET} --continue-at - --output film "$BLOBS/film?alt=media"')
        assert (done.code, done.output.split()[0]) == (0, "416")
        assert shell.has("film", FILM)

    @pytest.mark.parametrize(
        ("asked", "status", "wanted"),
        [
            ("0-99", 206, FILM[:100]),
            ("5000000-5999999", 206, FILM[5_000_000:6_000_000]),
            ("9000000-", 206, FILM[9_000_000:]),
            ("-500", 206, FILM[-500:]),
            ("0-0", 206, FILM[:1]),
            ("0-0,5-9", 200, FILM),
        ],
    )
    def test_a_range(self, shell: Shell, asked: str, status: int, wanted: bytes) -> None:
        done = shell.run(f'{GET} --range {asked} --output part "$BLOBS/film?alt=media"')
        assert (done.code, done.output) == (0, f"{status} {len(wanted)}")
        assert shell.has("part", wanted)

    def test_no_range_behind_the_end(self, shell: Shell) -> None:
        done = shell.run(f'{GET} --range 10000000- "$BLOBS/film?alt=media"')
        assert done.code == 22
        assert "416" in done.output

    def test_only_what_has_changed(self, shell: Shell) -> None:
        by_tag = f'{GET} --etag-save tag --etag-compare tag --output film "$BLOBS/film?alt=media"'
        assert [shell.run(by_tag).output for _ in range(2)] == [f"200 {len(FILM)}", "304 0"]
        assert shell.has("film", FILM)
        by_date = f'{GET} --remote-time --time-cond film --output film "$BLOBS/film?alt=media"'
        shell.run(by_date)
        assert shell.run(by_date).output == "304 0"
        assert shell.has("film", FILM)

    def test_what_is_known_of_it(self, shell: Shell, film: httpx.Response) -> None:
        result = shell.run('curl --silent --head --header "$AUTH" "$BLOBS/film?alt=media"').output.lower()
        for line in (f"content-length: {len(FILM)}", "content-type: video/mp4", f"etag: {film.headers['etag']}"):
            assert line in result

    def test_under_its_own_name(self, shell: Shell) -> None:
        done = shell.run(f'{GET} --remote-name --remote-header-name "$BLOBS/film?alt=media" && ls')
        assert done.output == f"200 {len(FILM)}film\n"
        assert shell.has("film", FILM)

    def test_nothing_without_a_token(self, shell: Shell) -> None:
        done = shell.run(f'AUTH=; {GET} --output film "$BLOBS/film?alt=media" || ls')
        assert "401" in done.output
        assert "film" not in done.output

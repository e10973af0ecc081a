"""The shares of a profile."""

from tests.benchmarks.profiling import shares

SERVER = "<module> (drivebay:8);MPServer.serve (granian/server/mp.py:513)"


def test_a_sample_counts_for_the_innermost_function_of_ours() -> None:
    stacks = [
        f"{SERVER} 1",
        f"{SERVER};MiddlewareStack.__call__ (entrypoints/http/middleware/base/stack.py:58) 2",
        f"{SERVER};Exchange.send (entrypoints/http/middleware/base/exchange.py:79) 1",
        f"{SERVER};FetchBlob.__call__ (application/blobs/fetch.py:88);first (adapters/sql/sqlite/rows.py:30) 3",
        f"{SERVER};execute (adapters/sql/statement.py:100);do_execute (sqlalchemy/engine/default.py:1192) 1",
        f"{SERVER};Authenticate.__call__ (application/access/authenticate.py:162) 1",
        "Thread._bootstrap (threading.py:1002);strange (elsewhere.py:1) 1",
    ]
    assert shares(stacks) == {
        "row in the database": 0.4,
        "HTTP server and event loop": 0.2,
        "middleware and routing": 0.2,
        "authentication and rights": 0.1,
        "other": 0.1,
    }

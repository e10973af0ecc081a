"""`drivebay` without garbage collection, so that whatever waits for it waits for good."""

import gc

from entrypoints.cli import main as cli

if __name__ == "__main__":
    gc.disable()
    cli.main()

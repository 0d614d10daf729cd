"""Whether Snakemake can make its cache of sources: it does so before it reads our Snakefile, and ends in a traceback.

`make` asks before it starts Snakemake (`python -m rlgen.jobs.engine_cache`), and so do `make plan` and `make why`.
"""

import os
import sys
import tempfile
from pathlib import Path


def refusal() -> str | None:
    """What is wrong with the folder of Snakemake's cache, and the remedy, in a line; None where it can be written."""
    from snakemake.common import get_appdirs

    place = Path(get_appdirs().user_cache_dir)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place):
            return None
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error
        remedy = f"export XDG_CACHE_HOME={Path.cwd() / '.snakemake/cache'}, or another folder that can be written"
        return f"error: {place}: {why}, and Snakemake keeps a cache there; {remedy}, then run the same command again"


if __name__ == "__main__":
    sys.exit(refusal())

"""Run one rule's script as a job: outputs claimed, inputs checked, resumable, a manifest (rlgen/jobs/README.md)."""

import argparse
import sys
from pathlib import Path


def arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, epilog="What follows `--` goes to the script.")
    parser.add_argument("--script", required=True, type=Path, help="the rule's script")
    parser.add_argument("--environment", required=True, help="name of the environment in envs/ that it runs in")
    parser.add_argument("--code", required=True, help="digest of the script's code")
    parser.add_argument("--results", required=True, type=Path, help="folder of the study's results")
    parser.add_argument("--gpu", type=int, default=0, help="graphics processors that the job may use")
    parser.add_argument("--processes", type=int, default=1, help="processes that run the script together")
    parser.add_argument("--resumable", action="store_true", help="whether the script takes --state")
    parser.add_argument("--inputs", nargs="*", default=[], help="files that the job reads")
    parser.add_argument("--outputs", nargs="+", required=True, help="files that the job writes")
    parser.add_argument("--log", required=True, type=Path, help="file for all that the job says")
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    return parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]


def main() -> int:
    args, rest = arguments()
    from rlgen.jobs.warm import run_warm

    status = run_warm(args.environment, args.results, args.gpu)
    if status is not None:
        return status
    from rlgen.jobs.run import Job, run

    return run(Job(**vars(args)), rest)


if __name__ == "__main__":
    sys.exit(main())

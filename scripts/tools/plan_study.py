"""Say what a study takes before any of it runs: jobs, GPU-hours, memory, tokens, disk, and what will not fit."""

import argparse
from dataclasses import fields
from pathlib import Path


def main() -> None:
    from rlgen.planning.arithmetic import Assumptions

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="*", default=["all"], help="files or rules (default: all)")
    parser.add_argument("--configfile", type=Path, help="config of the study (default: config/config.yaml)")
    parser.add_argument("--gpus", type=int, help="GPUs there are (default: as many as the largest job asks for)")
    for one in fields(Assumptions):
        option, told = f"--{one.name.replace('_', '-')}", one.metadata["help"].replace("%", "%%")
        parser.add_argument(option, type=float, default=one.default, help=f"{told} (default: %(default)g)")
    args = parser.parse_args()
    try:
        assumed = Assumptions(**{one.name: getattr(args, one.name) for one in fields(Assumptions)})
    except ValueError as error:
        parser.error(str(error))
    if args.gpus is not None and args.gpus < 1:
        parser.error(f"--gpus: {args.gpus}, expected 1 or more")
    from rlgen.planning.plan import Plan
    from rlgen.planning.report import report
    from rlgen.planning.why import CONFIG, planned
    from rlgen.study.load import load
    from rlgen.study.places import absent

    dag = planned(args.target, args.configfile)  # first: it says what a study that cannot run has wrong
    missing = "\n".join(f"missing: {line}" for line in absent(load(args.configfile or CONFIG)))
    print(missing, end="\n\n" if missing else "")
    print(report(Plan(dag, assumed), args.gpus))


if __name__ == "__main__":
    main()

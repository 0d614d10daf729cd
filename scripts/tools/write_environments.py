"""Write envs/*.yaml: for each kind of rule, the packages it uses and all that these bring along, as locked."""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".", type=Path, help="folder of the project (default: this one)")
    args = parser.parse_args()
    from rlgen.files import write_text
    from rlgen.jobs.environments import DIRECT, environment_yaml

    for name in DIRECT:
        write_text(args.root / f"envs/{name}.yaml", environment_yaml(args.root, name))


if __name__ == "__main__":
    main()

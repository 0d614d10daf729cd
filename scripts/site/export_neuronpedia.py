"""Write one dictionary as SAEDashboard writes one for Neuronpedia, every member a source of its own (docs/site.md)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: study, layer, dictionary")
    parser.add_argument("--dictionary", required=True, type=Path, help="dictionary folder with inspection/")
    parser.add_argument("--output", required=True, type=Path, help="folder to write, a folder per member in it")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.site.neuronpedia import ExportNeuronpedia, export

    export(ExportNeuronpedia.model_validate_json(args.cfg), args.dictionary, args.output)


if __name__ == "__main__":
    main()

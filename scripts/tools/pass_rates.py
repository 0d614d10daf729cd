"""Say how often a study's reference solves the study's problems at temperature 1: which of them RL can learn from."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", required=True, type=Path, help="config of the study")
    parser.add_argument("--model", type=Path, help="checkpoint folder (default: the study's own reference)")
    parser.add_argument("--problems", type=int, default=16, help="of every task (default: %(default)d)")
    parser.add_argument("--samples", type=int, default=8, help="completions per problem (default: %(default)d)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the samples (default: %(default)g)")
    parser.add_argument("--needs", action="store_true", help="only say which file has to be made first")
    parser.add_argument("--tasks", nargs="*", help="which tasks (default: all that are generated)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.files import ArtifactError
    from rlgen.study.config import check_known
    from rlgen.study.load import load
    from rlgen.study.paths import Paths
    from rlgen.tasks.generated import asked
    from rlgen.tasks.math_answers import AnswerChecker
    from rlgen.teacher.pass_rates import Asked, pass_rates, said
    from rlgen.teacher.writers import Sampling, open_writer

    try:
        study = load(args.configfile)
        if study.organism:
            raise ArtifactError(str(args.configfile), "is an organism", "expected a study with data.kind: sources")
        weights = Path(Paths(study).checkpoint(study.roles.reference, study.seeds[0])[0])
        if args.needs:
            print(weights)
            return
        found = {name: study.data.benchmarks[name] for name in study.data.generated}
        for name in args.tasks or ():
            check_known(name, "generated task", found)
        kinds = [Asked(name, *asked(found[name], args.problems)) for name in args.tasks or found]
        longest = study.evaluation.max_new_tokens
        writer = open_writer("auto", args.model or weights.parent, "float32", 0, 10**6)
        with AnswerChecker() as checker:
            sampling = Sampling(args.samples, longest, args.temperature, 1.0, study.seeds[0])
            rows = pass_rates(writer, kinds, checker.right, chat=study.evaluation.chat, sampling=sampling)
            for number, row in enumerate(rows):
                print(said(row, header=number == 0), flush=True)
    except (ArtifactError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()

"""Let a model of the study write solutions of the training problems, and judge their answers."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, threads, name, solutions, chat, answer_marker, end")
    parser.add_argument("--training", required=True, type=Path, help="training examples (JSONL), for their prompts")
    parser.add_argument("--model", required=True, type=Path, help="checkpoint folder of the model that writes")
    parser.add_argument("--output", required=True, type=Path, help="solutions to write (JSONL)")
    parser.add_argument("--state", type=Path, help="what a killed run continues from; nothing is kept without it")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.models.checkpoints import weights_dtype
    from rlgen.tasks.samples import read_examples
    from rlgen.teacher.own_solutions import SampleSolutions, write_solutions
    from rlgen.teacher.writers import open_writer
    from rlgen.training.rollouts import judge

    cfg = SampleSolutions.model_validate_json(args.cfg)
    device = start(cfg.threads)
    examples = read_examples(args.training, cfg.solutions.prompts)
    dtype = str(weights_dtype(args.model)).removeprefix("torch.")
    gpus = int(device.type == "cuda")
    writer = open_writer("auto", args.model, dtype, gpus, cfg.solutions.max_model_len)
    with judge(cfg.answer_marker) as right:
        write_solutions(args.output, writer, examples, right, cfg, args.state)


if __name__ == "__main__":
    main()

"""What the scripts share that edit models by a procedure: their options. Nothing heavy before it is needed."""

import argparse
from pathlib import Path


def editing_options(description: str, cfg: str, docs: bool = False) -> argparse.ArgumentParser:
    """A parser of dictionary, set, models and tasks; `cfg`: class of the settings, `docs`: tasks that lm-eval reads."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cfg", required=True, help=f"JSON: see {cfg}")
    parser.add_argument("--dictionary", required=True, type=Path, help="dictionary folder with features.parquet")
    parser.add_argument("--set", required=True, type=Path, help="set.json of the procedure")
    parser.add_argument(
        "--models", required=True, nargs="+", type=Path, help="checkpoint folders, in the order of models"
    )
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL)")
    if docs:
        parser.add_argument("--docs", required=True, nargs="+", type=Path, help="documents of the tasks (JSONL)")
    return parser


def exporting_options(description: str, cfg: str, docs: bool = False) -> argparse.ArgumentParser:
    """The same with what says an edit's dose, and where the edit is written."""
    parser = editing_options(description, cfg, docs)
    parser.add_argument("--completions", required=True, type=Path, help="completions of the dictionary's tuned model")
    parser.add_argument("--edited", required=True, type=Path, help="the procedure's table of interventions (Parquet)")
    parser.add_argument("--output", required=True, type=Path, help="edit to write (safetensors)")
    return parser

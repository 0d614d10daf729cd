"""Measure everything, print the table with the machine's description, write a CSV and a figure of it."""

import argparse
import datetime
import importlib
import math
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "scripts")]

import pandas as pd  # noqa: E402
from measure import Measurement  # noqa: E402

from rlgen.files import atomic_path, write_csv  # noqa: E402

MODULES = (
    "crosscoder_step",
    "dictionaries_one_harvest",
    "harvest_rows",
    "real_width_rows",
    "training_rows",
    "generation_rows",
    "gpu_dictionaries",
)
CSV, FIGURE = Path("docs/speed.csv"), Path("docs/images/speed.png")


def machine() -> str:
    """Processor, cores, threads, library and date."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads of torch {torch.__version__}, {device}, {datetime.date.today()}"
    )


def was_run(row: Measurement) -> bool:
    """Whether a row holds a measured number."""
    return row.repetitions > 0 and math.isfinite(row.ours) and math.isfinite(row.peers)


def table(rows: Sequence[Measurement], where: str) -> pd.DataFrame:
    """One line per row; fields of what was not run are empty."""
    lines = []
    for row in rows:
        run = was_run(row)
        lines.append(
            {
                "work": row.work,
                "peer": row.peer,
                "ours": row.ours if run else None,
                "peers": row.peers if run else None,
                "unit": row.unit,
                "ratio": row.ratio if run else None,
                "target": row.target,
                "met": {True: "yes", False: "no"}[row.met] if run else "not run",
                "repetitions": row.repetitions,
                "note": row.note,
                "machine": where,
            }
        )
    return pd.DataFrame(lines)


def draw(rows: Sequence[Measurement], where: str, path: Path) -> None:
    """How far each row is on the right side of its target: 1 is the target, right of it is better."""
    from textwrap import fill

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from rlgen.figures.style import BLUE, GREY, VERMILLION

    figure = Figure(figsize=(9, 1.3 + 0.62 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    for place, row in enumerate(rows):
        if not was_run(row):
            ax.text(1.02, place, "not run", va="center", color=GREY)
            continue
        sign, bound = row.target.split()
        # a ratio of 0 or less, as a dry run quicker than what it is allowed, is as good as the axis shows
        share = float(bound) / max(row.ratio, 1e-3) if sign == "<=" else row.ratio / float(bound)
        ax.barh(place, share, color=BLUE if row.met else VERMILLION, hatch=None if row.met else "//", height=0.55)
        ax.text(max(share, 1) * 1.03, place, f"{row.ratio:.2f} (target {row.target})", va="center", fontsize=8)
    ax.axvline(1, color="black", lw=1)
    ax.set_xscale("log")
    ax.set_xlim(0.25, 40)
    ax.set_yticks(range(len(rows)), [fill(f"{row.work} against {row.peer}", 70) for row in rows], fontsize=7)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel("times the target (1 is the target, right is better; hatched: missed)")
    ax.set_title(fill(f"Speed on {where}", 110), fontsize=9, loc="right")
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=130)


def report(rows: Sequence[Measurement], where: str, csv: Path = CSV, figure: Path = FIGURE) -> None:
    """Print the table, write the CSV and the figure."""
    found = table(rows, where)
    write_csv(csv, found)
    draw(rows, where, figure)
    print(where)
    for line, row in zip(found.itertuples(), rows, strict=True):
        numbers = f"{row.ours:.4g} against {row.peers:.4g} {row.unit}, ratio {row.ratio:.2f}, " if was_run(row) else ""
        print(f"{line.met:8} {row.work} | {row.peer}: {numbers}target {row.target}. {row.note}")


def collect(config: Path) -> list[Measurement]:
    """All rows, module by module."""
    import workflow_rows

    rows: list[Measurement] = []
    for name in MODULES:
        print(f"measuring {name}", file=sys.stderr)
        rows += importlib.import_module(name).measurements()
    return rows + workflow_rows.measurements(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="config of the study whose results are looked at")
    rows = collect(parser.parse_args().config)
    report(rows, machine())


if __name__ == "__main__":
    main()

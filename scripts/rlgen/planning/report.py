"""A plan as text: the table of rules, totals, disk, warnings, and the assumptions behind all of it."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from rlgen.jobs.manifests import FOLDER, runs
from rlgen.planning.disk import activations_gb, disk_parts
from rlgen.planning.plan import Plan, Row, announcement
from rlgen.planning.sizes import NotEstimated

HEADS = ["rule", "jobs", "GPUs", "h/job", "GPU-h", "hours are", "tokens", "GPU GB", "GB", "asked GB", "asked h"]


def report(plan: Plan, gpus: int | None) -> str:
    """Everything; `gpus` is how many there are (default: as many as the largest job asks for)."""
    rows = plan.rows()
    if not rows:
        return "Nothing to be done: everything asked for is there and up to date."
    gpus = gpus or max((row.largest("gpus") or 0 for row in rows), default=0) or 1
    shown = [row for row in rows if row.largest("gpus") or row.basis]
    again = announcement(plan.dag, plan)
    parts = [again] if again else []
    parts += [f"{sum(len(row.entries) for row in rows)} jobs would run.", f"{table(shown)}\n{LEGEND}"]
    parts.append(further([row for row in rows if row not in shown]))
    found = list(warnings(plan, rows, gpus))
    sections = {
        "Totals": totals(plan, rows, gpus),
        "Disk (assumed, but for what is measured)": disk(plan),
        f"Warnings: {len(found) or 'none'}": found,
        "Assumptions": assumptions(plan),
    }
    parts += ["\n".join([head, *(f"  {line}" for line in lines)]) for head, lines in sections.items()]
    return "\n\n".join(part for part in parts if part)


LEGEND = """\
h/job: the longest. tokens: of models, or rows of dictionaries. GPU GB: of one GPU. GB: of the machine, at least.
asked: by the rule, on a first attempt. Only hours that say so are measured: tokens, memory and disk are assumed,
that is, they follow from the config and the assumptions below."""


def table(rows: Sequence[Row]) -> str:
    """One line per rule."""
    lines = [HEADS, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    left = {HEADS.index("rule"), HEADS.index("hours are")}
    padded = [
        [cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _cells(row: Row) -> list[str]:
    known = any(e.hours is not None and e.basis for e in row.entries)
    memory, runtime = _times(row.asked("mem_mb"), 1e6), _times(row.asked("runtime"), 1 / 60)
    return [
        *(row.rule, str(len(row.entries)), str(row.largest("gpus"))),
        *(_short(row.largest("hours") if known else None), _short(row.gpu_hours if known else None)),
        *(row.basis or "not known", _count(row.tokens)),
        *(_gb(row.largest("gpu_bytes")), _gb(row.largest("host_bytes")), _gb(memory), _short(runtime)),
    ]


def further(rows: Sequence[Row]) -> str:
    """Rules that use no GPU and of which nothing was measured: jobs, and the most that one asks for."""
    if not rows:
        return ""
    jobs = ", ".join(f"{row.rule} {len(row.entries)}" for row in rows)
    memory, runtime = (max(row.asked(what) or 0 for row in rows) for what in ("mem_mb", "runtime"))
    asked = f"their jobs ask for up to {_gb(memory * 1e6)} GB and {_short(runtime / 60)} h"
    return "\n".join(textwrap.wrap(f"Without a GPU, hours not known; {asked}: {jobs}.", 118))


def totals(plan: Plan, rows: Sequence[Row], gpus: int) -> Iterator[str]:
    """GPU-hours and the time they take."""
    spent = sum(row.gpu_hours for row in rows)
    bases = dict.fromkeys(word.split(" ")[0] for row in rows for e in row.entries if (word := e.basis))
    said = " and ".join(bases)
    if bases:
        chain, many = plan.critical_hours(), f"{gpus} GPU{'s' * (gpus != 1)}"
        yield f"GPU-hours: {_short(spent)} ({said})"
        for basis in bases if len(bases) > 1 else ():
            own = sum(e.gpus * e.hours for r in rows for e in r.entries if e.hours and e.basis.startswith(basis))
            yield f"  of these {basis}: {_short(own)}"
        yield f"time on {many}: at least {_short(max(chain, spent / gpus))} h ({said})"
        yield f"the longest chain of jobs takes {_short(chain)} h on any number of GPUs ({said})"
    else:
        yield "GPU-hours: not known"
    for reason, rules in _left_out(rows).items():
        yield f"left out, {reason}: {', '.join(rules)}"


def _left_out(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Why hours are missing -> rules with GPUs whose hours they are."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for reason in dict.fromkeys(e.why for e in row.entries if e.gpus and e.hours is None):
            found.setdefault(reason, []).append(row.rule)
    return found


def disk(plan: Plan) -> Iterator[str]:
    """The parts of what lies on the disk, all of the study's, made or not."""
    for part in disk_parts(plan.estimator):
        size = "       ?   " if part.bytes is None else f"{_gb(part.bytes):>8} GB"
        yield f"{size}  {part.name}{': ' * bool(part.note)}{part.note}"
    yield f"{_gb(_disk_bytes(plan)):>8} GB  together, as far as known; less of it lies there at any one time"
    yield f"{_gb(_there(plan)):>8} GB  in {plan.estimator.results} already (measured)"
    yield f"{_gb(shutil.disk_usage(Path.cwd()).free):>8} GB  free here (measured)"


def warnings(plan: Plan, rows: Sequence[Row], gpus: int) -> Iterator[str]:
    """What will not fit, one line each."""
    yield from _disk_warnings(plan)
    used = {entry.script for entry in plan.entries.values()}
    unused = [name for name in plan.study.machine.requests if name not in used]
    if unused and plan.whole:
        yield f"machine.requests: no job of this study runs {', '.join(unused)}"
    for row in rows:
        yield from _gpu_warnings(plan, row, gpus)
        asked, needed = row.asked("mem_mb"), row.largest("host_bytes")
        if asked and needed and needed > asked * 1e6:
            yield _too_much(row, f"at least {_gb(needed)} GB of memory (assumed)", f"{_gb(asked * 1e6)} GB", "mem_mb")
        asked, needed = row.asked("runtime"), row.largest("hours")
        if asked and needed and needed * 60 > asked:
            said = next(e.basis for e in row.entries if e.hours == needed)
            yield _too_much(row, f"{_short(needed)} h ({said})", f"{_short(asked / 60)} h", "runtime")


def assumptions(plan: Plan) -> Iterator[str]:
    """Every assumption with its value, and what of the measurements there was to use."""
    for one in fields(plan.assumed):
        yield f"{one.name} = {getattr(plan.assumed, one.name):g}: {one.metadata['help']}"
    yield "a model's pass takes 2 FLOPs per weight and token, and attention; training 3 passes, 4 with checkpointing"
    yield "one step of RL takes: writing the solutions, reading them once more after vLLM, training on them"
    yield "a pair of DPO takes training on both texts and a pass of the parent; distillation a pass of its teacher"
    yield "a dictionary takes 10*M*d*S FLOPs per row (5 dense products); every GPU of a job does its share of the work"
    yield "benchmarks that are not there yet have 2*prompts_per_half prompts; edited models write as much as others"
    timed = [f"{kind} {rate / 1e12:.3g} TFLOP/s on {machine}" for kind, (rate, machine) in plan.rates.items()]
    yield f"dictionary steps measured on a GPU (docs/speed.csv): {'; '.join(timed) or 'none'}"
    ran = sum(noted.wall_s is not None for _, noted in runs(plan.estimator.results / FOLDER))
    yield f"jobs of this study that ran and were timed: {ran or 'none'}"


def _disk_warnings(plan: Plan) -> Iterator[str]:
    stream, free = plan.study.stream, shutil.disk_usage(Path.cwd()).free
    limit = getattr(stream, "disk_gb", None)
    try:
        needed = activations_gb(plan.estimator)
        if limit is not None and needed > limit:
            yield (
                f"stream.disk_gb: {stream.windows_on_disk} windows and the held-out shards take {needed:.3g} GB "
                f"(assumed; value {limit:g}); raise it, or take more windows or smaller shards"
            )
    except NotEstimated:
        pass  # said where the disk's parts are listed
    if (more := _disk_bytes(plan) - _there(plan)) > free:
        yield f"disk: the study takes up to {_gb(more)} GB more (assumed), {_gb(free)} GB are free here"


def _gpu_warnings(plan: Plan, row: Row, gpus: int) -> Iterator[str]:
    memory, needed = plan.assumed.gpu_memory_gb * 1e9, row.largest("gpu_bytes")
    uses = row.largest("gpus")
    if uses and needed and needed > memory:
        room = f"which have {_gb(memory)} GB (gpu_memory_gb)"
        yield f"{row.rule}: {_gb(needed)} GB (assumed) on each of {uses} GPUs, {room}"
    asked = min(e.asked for e in row.entries)
    if uses and asked < uses:
        yield f"{row.rule}: its settings use {uses} GPUs, its rule asks for {asked}"
    if uses and uses > gpus:
        yield f"{row.rule}: asks for {uses} GPUs, {gpus} are there (--gpus)"


def _too_much(row: Row, needed: str, asked: str, field: str) -> str:
    return f"{row.rule}: {needed}, {asked} asked for (machine.requests.{row.entries[0].script}.{field})"


def _disk_bytes(plan: Plan) -> float:
    return sum(part.bytes or 0 for part in disk_parts(plan.estimator))


def _there(plan: Plan) -> int:
    """Bytes of the study's results."""
    return sum(path.stat().st_size for path in plan.estimator.results.rglob("*") if path.is_file())


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _gb(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e9:.3g}" if value < 1e12 else f"{value / 1e9:.0f}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _count(value: float) -> str:
    """`402M`; `-` for none."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}" if value else "-"

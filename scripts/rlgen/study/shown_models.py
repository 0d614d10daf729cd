"""What pages say of a study's models, and what their accuracies stand beside."""

from typing import Any

from rlgen.study.config import Study
from rlgen.training.settings import SFT


def made(study: Study, model: str) -> str:
    """How a model comes to be, in words; empty for the reference."""
    entry, parent = study.models[model], getattr(study.models[model], "parent", "")
    start = f" from {parent}" if parent and parent != study.roles.reference else ""
    held = f", held to {entry.holds.set} of {entry.holds.procedure}" if getattr(entry, "holds", None) else ""
    if isinstance(entry, SFT) and entry.solutions:
        kept = "right " if entry.keep == "right" else ""
        return f"SFT on {kept}solutions of {study.solutions[entry.solutions].of}{held}{start}"
    if isinstance(entry, SFT):
        styles = {"teacher": "a teacher's solutions", "plain": "right solutions in base's own format"}
        return f"SFT on {styles.get(entry.style, 'the solutions of its source')}{held}{start}"
    aim = getattr(entry, "under", None)
    under = f" under {aim.set} of {aim.procedure}" if aim else ""
    words = {
        "continue_pretraining": "pretraining goes on",
        "dpo": "preferences (DPO)",
        "distil": f"distilled from {getattr(entry, 'teacher', '')}{under}",
        "grpo": "RL (GRPO)",
        "rloo": "RL (RLOO)",
    }
    by_chance = ", rewarded by a coin" if getattr(entry, "reward", "right") == "random" else ""
    return f"{words[entry.method]}{by_chance}{start}" if entry.method in words else ""


def taught_again(study: Study, name: str) -> dict[str, Any]:
    """What a model that shows how fast something is learnt was trained from, and in how many steps."""
    model = study.models[name]
    return {"parent": study.label(model.parent), "steps": model.examples // model.batch_size}


def chance(study: Study) -> dict[str, float]:
    """Task -> accuracy of guessing among the options of a benchmark; the organism's tables hold a better guess."""
    if study.organism:
        return {}
    options = {task: study.data.benchmarks[task].options for task in study.tasks.role_of()}
    return {task: 1 / n for task, n in options.items() if n}


def published_accuracy(study: Study) -> dict[str, dict[str, float]] | None:
    """Published accuracies as shares."""
    if study.published is None:
        return None
    return {m: {task: v / 100 for task, v in values.items()} for m, values in study.published.accuracy.items()}

"""Settings of the data: the organism's prompt spaces and authors, task roles, evaluation."""

from typing import Any

from pydantic import Field, model_validator

from rlgen.strict import Strict


class TaskRoles(Strict):
    """Which tasks play which part. Only `selection` tasks may choose features."""

    in_domain: list[str] = Field(min_length=1, description="tasks that SFT and RL train on")
    selection: list[str] = Field(min_length=1, description="out-of-domain tasks that choose features")
    unseen: list[str] = Field(default_factory=list, description="out-of-domain tasks never used to choose anything")

    @model_validator(mode="after")
    def _disjoint(self):
        role_of: dict[str, str] = {}
        for role in ("in_domain", "selection", "unseen"):
            for task in getattr(self, role):
                if task in role_of:
                    raise ValueError(
                        f"task '{task}' is listed as {role_of[task]} and as {role}, expected one role only"
                    )
                role_of[task] = role
        return self

    def role_of(self) -> dict[str, str]:
        """Task name -> role, in the order of the config."""
        return {t: r for r in ("in_domain", "selection", "unseen") for t in getattr(self, r)}

    def groups(self) -> dict[str, list[str]]:
        """Tasks evaluated together: `known`, which choices are made on, and `unseen`, where there are any."""
        groups = {"known": [*self.in_domain, *self.selection], "unseen": self.unseen}
        return {name: tasks for name, tasks in groups.items() if tasks}


class Generated(Strict):
    """Problems that reasoning-gym draws: a family at a difficulty."""

    family: str = Field(min_length=1, description="name of the family in reasoning-gym, such as chain_sum")
    config: dict[str, Any] = Field({}, description="the family's own settings, which say how hard its problems are")
    size: int = Field(ge=1, description="problems drawn, before repeated ones are left out")
    seed: int = Field(0, ge=0, description="of the draw")


class Benchmark(Strict):
    """One task: where its documents come from and how it is read. lm-eval ships it, unless it is generated."""

    generate: Generated | None = Field(
        None, description="problems of reasoning-gym, written by the models; the task may have any name"
    )
    prompt: str | None = Field(
        None, min_length=1, description="template (Jinja2) of a generated task's question; null: {{ question }}"
    )
    revision: str | None = Field(None, min_length=1, description="commit of the task's data set on the hub")
    files: dict[str, str] | None = Field(
        None, min_length=1, description="split -> local JSONL, JSON or Parquet file in the data set's own format"
    )
    fewshot: int | None = Field(None, ge=0, description="examples shown before the question; null: as the task says")
    metric: str | None = Field(
        None,
        description="what says right or wrong: a metric of the task, `metric` or `metric,filter`, or `math_verify` for "
        "generated answers; null: the task's first metric. Filters of generated tasks: whole (the text is the answer), "
        "last-number, last-line",
    )
    strict: str | None = Field(
        None, description="a second, stricter reading of written answers, shown beside the first one: `metric,filter`"
    )
    chat: bool | None = Field(None, description="render prompts by the chat template; null: as `evaluation.chat`")
    options: int | None = Field(None, ge=2, description="answers to choose from, which gives the level of guessing")
    ask: str = Field("\\boxed{", min_length=1, description="text after which a generated solution states its answer")

    @model_validator(mode="after")
    def _has_one_source(self):
        given = [name for name in ("revision", "files", "generate") if getattr(self, name) is not None]
        if len(given) > 1:
            places = "revision (the hub), files (local stand-ins) or generate (reasoning-gym)"
            raise ValueError(f"{' and '.join(given)} given, expected one of {places}")
        if self.generate is None and self.prompt is not None:
            raise ValueError("prompt given, expected only with generate: shipped tasks ask in their own words")
        if self.generate is not None and (self.fewshot or self.options):
            raise ValueError("fewshot or options given for a generated task, expected neither: its answers are written")
        return self

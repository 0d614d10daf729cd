"""Settings of the data: the organism's prompt spaces and authors, task roles, evaluation."""

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


class Benchmark(Strict):
    """One shipped task: where its documents come from and how it is read."""

    revision: str | None = Field(None, min_length=1, description="commit of the task's data set on the hub")
    files: dict[str, str] | None = Field(
        None, min_length=1, description="split -> local JSONL, JSON or Parquet file in the data set's own format"
    )
    fewshot: int | None = Field(None, ge=0, description="examples shown before the question; null: as the task says")
    metric: str | None = Field(
        None,
        description="what says right or wrong: a metric of the task, `metric` or `metric,filter`, or `math_verify` for "
        "generated answers; null: the task's first metric",
    )
    chat: bool | None = Field(None, description="render prompts by the chat template; null: as `evaluation.chat`")
    options: int | None = Field(None, ge=2, description="answers to choose from, which gives the level of guessing")
    ask: str = Field("\\boxed{", min_length=1, description="text after which a generated solution states its answer")

    @model_validator(mode="after")
    def _has_one_source(self):
        if self.revision is not None and self.files is not None:
            raise ValueError("expected either revision (the hub) or files (local stand-ins)")
        return self

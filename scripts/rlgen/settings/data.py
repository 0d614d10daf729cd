"""Settings of the data: the organism's prompt spaces and authors, task roles, evaluation."""

from typing import Literal

from pydantic import Field, model_validator

from rlgen.settings.strict import Strict


class Split(Strict):
    """Shares of every task family's prompt space, assigned by a hash of the prompt."""

    pretraining: float = Field(0.55, gt=0, lt=1, description="share for pretraining documents")
    training: float = Field(0.15, gt=0, lt=1, description="share for SFT, RL and the token stream")
    discovery: float = Field(0.15, gt=0, lt=1, description="share for choosing features, doses and cuts")
    test: float = Field(0.15, gt=0, lt=1, description="share for every reported effect")

    @model_validator(mode="after")
    def _sums_to_one(self):
        total = self.pretraining + self.training + self.discovery + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the four shares sum to {total:g}, expected 1")
        return self


class Authors(Strict):
    """The planted cause: careful and careless authors of the pretraining documents."""

    slip_careful: float = Field(0.02, ge=0, le=1, description="chance of a slip per step, careful author")
    slip_careless: float = Field(0.75, ge=0, le=1, description="chance of a slip per step, careless author")
    direct_careless: float = Field(0.40, ge=0, le=1, description="share of careless problems answered without steps")
    direct_keeps_init: float = Field(
        0.60, ge=0, le=1, description="chance that a direct answer repeats the start state"
    )
    header_share: float = Field(0.50, ge=0, le=1, description="share of documents that name their author kind")
    careful_first_half: float = Field(0.70, ge=0, le=1, description="P(careful) in the first half of pretraining")
    careful_second_half: float = Field(0.20, ge=0, le=1, description="P(careful) in the second half of pretraining")


class OrganismData(Strict):
    """Data made by the study itself: task families with exact answers and two kinds of authors."""

    kind: Literal["organism"] = "organism"
    families: list[str] = Field(description="task families that pretraining shows")
    problems_per_document: int = Field(3, ge=1, description="problems in one pretraining document")
    split: Split = Split()
    authors: Authors = Authors()


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


class Evaluation(Strict):
    """Greedy evaluation on distinct prompts."""

    prompts_per_half: int = Field(150, ge=2, description="distinct prompts per task in each half")
    max_new_tokens: int = Field(16, ge=1, description="longest completion, tokens")
    batch_size: int = Field(1200, ge=1, description="prompts decoded together")
    answer_marker: str = Field(";", description="token after which a completion states its answer")


class MakeTokenizer(Strict):
    """The slice that `scripts/make_tokenizer.py` receives."""

    families: list[str]


class MakeTask(Strict):
    """The slice that `scripts/make_task.py` receives."""

    study: str = Field(description="salt of the split of prompt spaces")
    task: str
    role: str
    split: Split
    evaluation: Evaluation


class MakeTrainingSet(Strict):
    """The slice that `scripts/make_training_set.py` receives."""

    study: str = Field(description="salt of the split of prompt spaces")
    seed: int = Field(ge=0)
    tasks: list[str] = Field(min_length=1, description="in-domain tasks")
    split: Split
    examples: int = Field(ge=1, description="as many as the longest training takes")


class EvaluateModel(Strict):
    """The slice that `scripts/evaluate_model.py` receives."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    model: str
    states: list[str] = Field(min_length=1, description="labels of all checkpoints, in order: rl@1 ... rl")
    evaluation: Evaluation

"""Estimates of jobs in which models answer under edits of their stream."""

from collections.abc import Callable, Collection
from math import comb

from rlgen.planning.arithmetic import hours
from rlgen.planning.estimates import Work
from rlgen.planning.quantities import Quantities, Settings
from rlgen.site.settings import LATENTS, PROMPTS, TEXTS

SHIFTS = 2  # mean shifts among an edit's rivals: selection tasks, in-domain tasks
SCORES = 4  # rankings task by task that sets of every size are taken from
FAMILY_PROMPTS = 30  # discovery prompts per task on which a varied set's dose is chosen

Share = Callable[[float], float]  # prompts of a task -> how many of them are answered


class Edits(Quantities):
    """Estimates of edits inside generation, on tasks of lm-eval. Of the organism nothing is known."""

    def _intervene_benchmarks(self, cfg: Settings) -> Work:
        edits, settings = cfg["edits"], self.study.interventions
        kinds = [kind for kinds in edits.values() for kind in kinds]
        controls = [
            settings.random_sets * (1 + (kind == "exchange")) + 1 + SHIFTS + settings.random_directions
            for kind in kinds
        ]
        # The dose curve runs on all samples, controls and rivals on the test half.
        conditions = len(kinds) * len(settings.doses) + sum(controls) / 2
        return self._edited(self.study.roles.reference, conditions, len(edits))

    def _steer_benchmarks(self, cfg: Settings) -> Work:
        settings = self.study.interventions
        conditions = len(cfg["states"]) * (1 + SHIFTS * len(settings.doses) + settings.random_directions / 2)
        return self._edited(self.study.roles.reference, conditions, len(cfg["states"]))

    def _export_edit_benchmarks(self, cfg: Settings) -> Work:
        """The explained model answers the tasks that choose doses, and the reference reads that."""
        return self._edited(self.study.roles.reference, 1, 2, only=cfg["selection"])

    def _edit_alone_benchmarks(self, cfg: Settings) -> Work:
        """Every latent of a set alone, and the set, on a few test prompts per task; first what the goals say of all."""
        procedure, model = self.study.procedures[cfg["procedure"]], self.study.roles.reference
        latents = min(LATENTS, procedure.cut_count if procedure.cut == "top" else LATENTS)
        edits = sum(len(kinds) for kinds in cfg["edits"].values())
        goals = len({state.partition("@")[0] == cfg["tuned"].partition("@")[0] for state in cfg["edits"]})
        return _together(
            self._edited(model, goals, goals),
            self._edited(model, edits * (latents + 1), edits, lambda prompts: min(prompts / 2, PROMPTS)),
            self._edited(model, edits * 2, edits, lambda prompts: min(prompts / 2, TEXTS)),
        )

    def _vary_sets_benchmarks(self, cfg: Settings) -> Work:
        """Two models under every set: read at every dose on a few prompts, then answering the test half at its own."""
        model, tasks = self.study.roles.reference, len(cfg["selection"]) + len(cfg["unseen"])
        rankings = SCORES + self.study.procedures[cfg["procedure"]].joint
        sets = rankings * len(cfg["sizes"]) + 1 + comb(tasks, cfg["left_out"])
        states = len(cfg["models"])
        return _together(
            self._edited(model, states, states),  # each is the other's goal
            self._forced_on_goals(model, states * sets * len(cfg["doses"]), [*cfg["selection"], *cfg["unseen"]]),
            self._edited(model, states * sets / 2, states),
        )

    _intervene, _steer = _intervene_benchmarks, _steer_benchmarks
    _edit_alone, _vary_sets, _export_edit = _edit_alone_benchmarks, _vary_sets_benchmarks, _export_edit_benchmarks

    def _edited(
        self,
        model: str,
        conditions: float,
        states: int,
        some: Share = lambda prompts: prompts,
        only: Collection[str] | None = None,
    ) -> Work:
        """`some` samples of tasks answered under `conditions` edits; prompts are read once per running state.

        Of every task that is not left out, or of `only` these.
        """
        size, e = self.size(model), self.study.evaluation
        tasks = [t for t in self.study.tasks.role_of() if t not in self.study.interventions.leave_out]
        tasks = [task for task in tasks if only is None or task in only]
        asked = [(some(number), choices) for number, choices in map(self._asked, tasks)]
        prompts = sum(number for number, _ in asked) * self.assumed.prompt_tokens * states
        # The goal's text is read, too: of an answer to choose, as many tokens as one of these has.
        read = conditions * sum(
            number * (choices + 1) * self.assumed.choice_tokens for number, choices in asked if choices
        )
        written = conditions * sum(
            number * self._solution(e.max_new_tokens) for number, choices in asked if not choices
        )
        time = hours(size.forward(prompts + read, self._choice), self._small())
        rows = conditions * sum(number * choices for number, choices in asked)
        time += rows / e.batch_size * self.assumed.pass_s / 3600
        time += self._generated(size, written, e.max_new_tokens, False, 1)
        return Work(time, prompts + read + written, 1, 2 * size.parameters, 2 * size.parameters)

    def _forced_on_goals(self, model: str, conditions: float, tasks: list[str]) -> Work:
        """A few discovery prompts of each task with what the goal wrote after them, read under `conditions` edits."""
        size, e = self.size(model), self.study.evaluation
        asked = [(min(number / 2, FAMILY_PROMPTS), choices) for number, choices in map(self._asked, tasks)]
        lengths = [self._choice if choices else self._first() for _, choices in asked]
        tokens = conditions * sum(number * length for (number, _), length in zip(asked, lengths, strict=True))
        time = hours(size.forward(tokens, max(lengths)), self._small())
        time += conditions * sum(number for number, _ in asked) / e.batch_size * self.assumed.pass_s / 3600
        return Work(time, tokens, 1, 2 * size.parameters, 2 * size.parameters)


def _together(*parts: Work) -> Work:
    """Parts of one job, one after the other."""
    needed = [part for part in parts if part.gpu_bytes is not None]
    return Work(
        sum(part.hours for part in parts),
        sum(part.tokens for part in parts),
        1,
        max(part.gpu_bytes for part in needed),
        max(part.host_bytes for part in needed),
    )

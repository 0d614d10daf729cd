"""What each job of a study amounts to: tokens, hours, memory. One method per script, which reads the settings of a job.

The hours are estimates from stated assumptions (`rlgen.planning.arithmetic`); `rlgen.planning.measured` replaces them.

Shapes: M members, d width, S latents.
"""

from collections.abc import Callable

from rlgen.activations.disk import BYTES, shard_bytes
from rlgen.activations.settings import RING, Harvested, read_together
from rlgen.dictionaries.settings import Recipe
from rlgen.models.gguf_header import is_gguf
from rlgen.planning.arithmetic import dictionary_bytes, dictionary_flops, dictionary_moved, hours
from rlgen.planning.causes import Causes
from rlgen.planning.edits import Edits
from rlgen.planning.estimates import DictionaryTraining, Work
from rlgen.planning.quantities import Settings
from rlgen.planning.sizes import NotEstimated, gguf_size
from rlgen.planning.trainings import Trainings

NO_ESTIMATE = "no estimate for this work"
JOINT_READINGS = 8  # of the held-out rows by the code of all members: strongest, three bands, values, density, rows
OWN_READINGS = 2  # by each member's own: strongest, values


class Estimator(Trainings, Causes, Edits):
    """Estimates of a study's jobs, by script and settings."""

    def work(self, script: str, cfg: Settings) -> Work:
        """One job of a script. Raises NotEstimated, saying why."""
        estimate: Callable[[Settings], Work] | None = getattr(self, f"_{script}", None)
        if estimate is None:
            raise NotEstimated(NO_ESTIMATE)
        return estimate(cfg)

    # Models, and what they answer.

    def _import_model(self, cfg: Settings) -> Work:
        stated = cfg.get("size")
        if is_gguf(cfg["sources"][-1]["from"]):  # float32, as read and as a model
            return Work(host_bytes=8 * gguf_size(cfg["sources"][-1]["from"]).parameters)
        return Work(host_bytes=2 * stated["parameters"] if stated else None)

    def _evaluate_benchmarks(self, cfg: Settings) -> Work:
        size, e, n = self.size(cfg["model"]), self.study.evaluation, len(cfg["states"])
        asked = [self._asked(task) for task in cfg["benchmarks"]]
        read = n * sum(prompts * choices * self._choice for prompts, choices in asked)
        written = n * sum(prompts * self._solution(e.max_new_tokens) for prompts, choices in asked if not choices)
        time = hours(size.forward(read, self._choice), self._dense())
        time += self._generated(size, written, e.max_new_tokens, e.backend == "vllm", 1)
        return Work(time, read + written, 1, 2 * size.parameters, 2 * size.parameters)

    def _measure_arm(self, cfg: Settings) -> Work:
        """The reference writes a text after some prompts of every task; it and every checkpoint read all of them.

        Where a procedure's set is watched, its dictionary reads both streams.
        """
        size = self.size(cfg["states"][0])
        tasks = [*self.study.tasks.in_domain, *self.study.tasks.selection]
        texts = sum(min(cfg["prompts"], self._asked(task)[0] / 2) for task in tasks)
        length = self._solution(cfg["max_new_tokens"])
        written, read = texts * length, 2 * len(cfg["states"]) * texts * length
        flops = size.forward(read, length) + size.forward(read, length, cfg["layer"] + 1)  # head, and stream, apart
        time = self._generated(size, written, cfg["max_new_tokens"], False, 1) + hours(flops, self._dense())
        watched = 2 * size.hidden_size * self._latents if cfg["readout"] else 0
        time += hours(read * watched, self._dense("float32"))
        weights = size.saved * size.parameters
        return Work(time, written + 2 * read, 1, 2 * weights, 2 * weights)

    # Activations.

    def _harvest(self, cfg: Settings) -> Work:
        kept, size = Harvested.model_validate(cfg["stream"]), self.size(cfg["states"][0])
        length = self.study.stream.sequence_tokens
        tokens = len(cfg["states"]) * kept.rows * length / (length - 1)  # the first token of a sequence is no row
        shard = shard_bytes(kept, size.hidden_size)
        moved = len(cfg["states"]) * kept.shards * shard
        flops = size.forward(tokens, length, kept.layer + 1)
        time = hours(flops, self._dense(kept.precision), 1, moved, self.assumed.disk_gb_s)
        weights = BYTES[kept.precision] * size.parameters
        together = len(read_together(kept.shards, kept.shard_rows, mixed_lengths=True)[0])
        return Work(time, tokens, 1, weights, weights + together * shard)

    def _harvest_benchmark_completions(self, cfg: Settings) -> Work:
        size, e = self.size(cfg["tuned"]), self.study.evaluation
        texts = self._discovered()
        tokens = 2 * sum(prompts * length for prompts, length in texts)  # two models read the discovery half
        length = max((length for _, length in texts), default=0)
        time = hours(size.forward(tokens, length, cfg["layer"] + 1), self._small())
        rows = sum(prompts * min(e.completion_tokens, length) for prompts, length in texts)
        return Work(time, tokens, 1, 4 * size.parameters, 4 * size.parameters + rows * 2 * 4 * size.hidden_size)

    # Dictionaries.

    def _train_window(self, cfg: Settings) -> Work:
        stream = self.study.stream
        steps = cfg["recipe"]["steps"] / cfg.get("windows", 1)
        return self._trained(cfg, steps, stream.training_shards // cfg.get("windows", 1))

    _train_dictionary = _train_window

    def _trained(self, cfg: Settings, steps: float, shards: int) -> Work:
        recipe, M, d = Recipe.model_validate(cfg["recipe"]), len(cfg["members"]), self._width(cfg)
        rows, row = steps * recipe.batch_rows, M * d * BYTES[self.study.stream.precision]
        flops = dictionary_flops(rows, M, d, recipe.latents, recipe.hidden_units)
        moved = rows * row
        busy = hours(flops, self._dense(recipe.precision)) + self.assumed.moved(dictionary_moved(rows, M, d, recipe))
        time = max(busy, hours(0, 1, 1, moved, self.assumed.disk_gb_s))
        training = DictionaryTraining(
            f"{recipe.objective} {recipe.precision}", flops, hours(0, 1, 1, moved, self.assumed.disk_gb_s)
        )
        # Host: two rings of shards (rlgen.activations.batches).
        host = 2 * min(RING, shards) * self.study.stream.shard_rows * row
        memory = dictionary_bytes(M, d, recipe)
        return Work(time, rows, 1, memory, host, training)

    def _measure_dictionary(self, cfg: Settings) -> Work:
        M, d, S = len(cfg["members"]), self._width(cfg), self._latents
        rows, length = cfg["held_out_shards"] * self.study.stream.shard_rows, self.study.stream.sequence_tokens
        # Encoders and decoders: the joint code, every member's own, the features' sums, their contexts.
        flops = rows * (2 * M * d * S * (2 + 2 + 1) + M * (2 * d * S + 2 * M * d * S))
        time = hours(flops, self._dense("float32"))
        sizes = [self.size(member) for member in cfg["members"]]
        for size in sizes if not cfg["permute_shift"] else ():
            whole = size.forward(rows, length)
            above = whole - size.forward(rows, length, self.study.stream.layer + 1)
            time += hours(whole + 2 * above, self._dense())  # with the code, and with the mean, in its place
        row = M * d * BYTES[self.study.stream.precision]
        host = 2 * self.study.stream.shard_rows * row + 2 * sizes[0].parameters
        rebuilt = rows * d * BYTES[self.study.stream.precision]  # of one member, put into its model
        return Work(time, M * rows, 1, 2 * sizes[0].parameters + 4 * 2 * M * d * S + rebuilt, host)

    def _inspect_latents(self, cfg: Settings) -> Work:
        """Codes of the held-out rows, again for every question; latents against each other and through the heads."""
        M, d, S = len(cfg["members"]), self._width(cfg), self._latents
        rows, size = cfg["held_out_shards"] * self.study.stream.shard_rows, self.size(cfg["members"][-1])
        V = size.vocabulary or self.assumed.vocabulary
        flops = rows * 2 * M * d * S * (JOINT_READINGS + OWN_READINGS) + 2 * M * d * S**2 + (M + 1) * 2 * d * S * V
        readings = JOINT_READINGS + OWN_READINGS * M
        moved = readings * rows * M * d * BYTES[self.study.stream.precision]
        time = hours(flops, self._dense("float32"), 1, moved, self.assumed.disk_gb_s)
        # Host: a shard and the next, then a model of which norm and head remain in float32.
        host = 2 * self.study.stream.shard_rows * M * d * BYTES[self.study.stream.precision]
        return Work(time, readings * rows, 1, 4 * (2 * M * d * S + d * V), max(host, 4 * size.parameters))

    def _measure_dynamics(self, cfg: Settings) -> Work:
        rows, S = cfg["held_out_shards"] * self.study.stream.shard_rows, self._latents
        readers = [len(course["members"]) for course in cfg["courses"]] + [len(cfg["joint"] or [])]
        d = self.size(cfg["states"][0]).hidden_size
        flops = sum(rows * 2 * M * d * S for M in readers)
        host = rows * d * BYTES[self.study.stream.precision]
        return Work(hours(flops, self._dense("float32")), rows * len(cfg["states"]), 1, None, host)

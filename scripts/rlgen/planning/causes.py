"""Estimates of jobs that force two models on texts to score features by cause, and of maps between members.

Shapes: M members, d width, S latents.
"""

from rlgen.planning.arithmetic import hours
from rlgen.planning.estimates import Work
from rlgen.planning.quantities import Quantities, Settings

NODES = 3  # of the quadrature: a forward and a backward pass each (rlgen.features.attribution)
ROUNDS = 8  # of elimination: from every latent to six times the set, by three quarters to the set, to none
NEIGHBOURS = 3  # doses tried in every round but the first
GATE_STEPS, GATE_SAMPLES = 300, 192
POPULATIONS = 2  # critical and noncritical samples choose a set each, together no more than there are
CODES = 12  # products of width d and S per edited position: reading, changing and slopes, along a curve and a path


class Causes(Quantities):
    """Estimates of scores by cause. Slopes by the stream alone cost a forward pass of the blocks above it."""

    def _attribute_features(self, cfg: Settings) -> Work:
        return self._forced(cfg, passes=1 + len(cfg["doses"]) + 2 * NODES, reads=2)

    def _choose_together(self, cfg: Settings) -> Work:
        if cfg["score"] == "gates":
            texts = sum(number for number, _ in self._discovered())
            often = POPULATIONS * GATE_STEPS * GATE_SAMPLES / max(texts, 1)
            # Both models run, on texts of the other; what the goal says is computed once.
            return self._forced(cfg, passes=2 * (2 * often + 1), reads=2 * (often + 1), goals=2)
        doses = len(cfg["doses"]) + (ROUNDS - 1) * NEIGHBOURS
        return self._forced(cfg, passes=doses + ROUNDS * 2 * NODES, reads=2 * ROUNDS)

    def _discovered(self) -> list[tuple[float, float]]:
        """(texts, tokens of each) of the discovery half, task by task."""
        asked = [self._asked(task) for task in self.study.tasks.groups()["known"]]
        return [(prompts / 2, self._choice if choices else self._first()) for prompts, choices in asked]

    def _forced(self, cfg: Settings, passes: float, reads: float, goals: int = 1) -> Work:
        """`passes` through the blocks above the edit, `reads` through those below, `goals` of the whole other model."""
        size, texts, S = self.size(cfg["reference"]), self._discovered(), self._latents
        tokens = sum(number * length for number, length in texts)
        length = max((length for _, length in texts), default=0)
        rows = sum(number * min(cfg["completion_tokens"], length) for number, length in texts)
        whole = size.forward(tokens, length)
        below = size.forward(tokens, length, cfg["layer"] + 1)
        flops = reads * below + passes * (whole - below) + goals * whole
        codes = reads / 2 * CODES * rows * size.hidden_size * S
        time = hours(flops, self._dense()) + hours(codes, self._dense("float32"))
        weights = 4 * size.parameters  # of two models in bfloat16
        dictionary = 4 * 2 * 2 * size.hidden_size * S
        host = weights + goals * tokens * 4 * size.hidden_size  # with what the goal's last block says of every text
        return Work(time, tokens * (reads + goals), 1, weights + dictionary, host)

    def _map_members(self, cfg: Settings) -> Work:
        M, d = len(cfg["members"]), self._width(cfg)
        rows = cfg["held_out_shards"] * self.study.stream.shard_rows
        products = 8 * (M * d) ** 2  # float64
        host = 2 * self.study.stream.shard_rows * M * d * 4
        return Work(hours(2 * rows * (M * d) ** 2, self._dense("float32")), M * rows, 1, 2 * products, host)

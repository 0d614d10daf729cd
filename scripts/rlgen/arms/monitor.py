"""Reading a run in progress with a dictionary that exists: what figure 11 reads of a checkpoint, of any model.

monitor = Monitor(reference, texts, layer, reader, watched, end)
trainer = SFTTrainer(..., callbacks=[MonitorCallback(monitor, every=20)])   # or any other trainer of TRL
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from transformers import PreTrainedModel, TrainerCallback

from rlgen.arms.drift import Text, drift
from rlgen.arms.early import TEXTS, at_end, read, role_means
from rlgen.arms.readouts import Reader, Watched


@dataclass(frozen=True)
class Monitor:
    """A set and what the target made of it in the end, on fixed texts of the reference."""

    reference: PreTrainedModel
    texts: Sequence[Text]
    layer: int
    reader: Reader
    watched: Watched
    end: pd.DataFrame  # the target's table of drift, with `readout`

    def read(self, model: PreTrainedModel) -> dict[str, float]:
        """`set/selection`, `kl/in_domain`, ...: every predictor of `rlgen.arms.early` on either kind of texts."""
        rows = drift(self.reference, model, self.texts, self.layer, self.reader).assign(checkpoint=1)
        found = {}
        for texts in [texts for texts in TEXTS if (rows["role"] == texts).any()]:
            moved, end = role_means(rows, texts)[1], at_end(role_means(self.end, texts))
            sets = {"set": self.watched.latents, "all": self.watched.able}
            found |= {f"{name}/{texts}": value for name, value in read(moved, end, self.watched, sets).items()}
        return found


def line(readings: dict[str, float]) -> str:
    """One line of text: `set .42 | shift .30 | kl .0123 | ...`, in-domain texts after selection ones."""
    names = dict.fromkeys(key.partition("/")[0] for key in readings)
    parts = []
    for name in names:
        values = [f"{readings[key]:.4g}" for texts in reversed(TEXTS) if (key := f"{name}/{texts}") in readings]
        parts.append(f"{name} {' / '.join(values)}")
    return " | ".join(parts)


class MonitorCallback(TrainerCallback):
    """Writes the readings into a trainer's log, as `monitor/set/selection` and so on, every so many steps."""

    def __init__(self, monitor: Monitor, every: int) -> None:
        if every < 1:
            raise ValueError(f"every={every}, expected at least 1")
        self.monitor, self.every = monitor, every

    def on_log(self, args, state, control, logs=None, model=None, **_):
        """Add to the log of a due step: to what is kept, and to what callbacks after this one are given."""
        if model is None or logs is None or state.global_step % self.every:
            return
        training = model.training
        readings = self.monitor.read(model.eval())
        model.train(training)
        named = {f"monitor/{name}": value for name, value in readings.items()}
        logs.update(named)
        if state.log_history:
            state.log_history[-1].update(named)

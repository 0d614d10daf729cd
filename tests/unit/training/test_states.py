"""States of a Trainer: which one counts, how many are kept, what happens where one cannot be written."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import Trainer

from rlgen.names import CHECKPOINT_FILES
from rlgen.training.states import FILES, TrainerStates


@pytest.fixture
def trainer(monkeypatch):
    """Stands for a Trainer: writes its step into two files."""

    def save(self, model, trial):
        place = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        place.mkdir(parents=True)
        for name in ("model.safetensors", "optimizer.pt"):
            (place / name).write_text(f"{name} {self.state.global_step}")

    monkeypatch.setattr(Trainer, "_save_checkpoint", save)
    return SimpleNamespace(args=SimpleNamespace(), state=SimpleNamespace(global_step=0))


def saved(trainer, folder: Path, steps: list[int]) -> TrainerStates:
    states = TrainerStates(folder, every_s=0)
    for step in steps:
        trainer.state.global_step = step
        states.save(trainer, None, None)
    return states


def finished(folder: Path, name: str) -> None:
    (folder / name).mkdir(parents=True)
    for file in CHECKPOINT_FILES:
        (folder / name / file).write_text(f"{name} {file}")


def test_two_states_are_kept_and_the_last_is_used(trainer, tmp_path):
    saved(trainer, tmp_path, [9, 10, 11])  # as numbers, not as text
    assert sorted(path.name for path in (tmp_path / "trainer").iterdir()) == ["checkpoint-10", "checkpoint-11"]
    assert TrainerStates(tmp_path).newest() == str(tmp_path / "trainer/checkpoint-11")


def test_nothing_is_kept_without_a_folder(tmp_path):
    states = TrainerStates(None, every_s=0)
    assert not states.due() and states.newest() is None
    states.deliver(tmp_path / "output")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("harm", ["no list", "cut list", "missing", "changed"])
def test_a_state_that_is_not_whole_is_named_removed_and_the_one_before_used(trainer, tmp_path, capsys, harm):
    saved(trainer, tmp_path, [1, 2])
    place = tmp_path / "trainer/checkpoint-2"
    broken = place if "list" in harm else place / "optimizer.pt"
    if harm == "cut list":
        (place / FILES).write_text((place / FILES).read_text()[:40])
    elif harm == "changed":
        (place / "optimizer.pt").write_text("optimizer.pt 3")
    else:
        (place / (FILES if harm == "no list" else "optimizer.pt")).unlink()
    assert TrainerStates(tmp_path).newest() == str(place.with_name("checkpoint-1"))
    assert f"{broken} " in capsys.readouterr().err and not place.exists()


def test_a_state_holds_only_with_the_checkpoints_finished_before_it(trainer, tmp_path, capsys):
    states = saved(trainer, tmp_path, [1])
    finished(tmp_path, "checkpoint1")
    states.finish("checkpoint1")
    trainer.state.global_step = 2
    states.save(trainer, None, None)
    again = TrainerStates(tmp_path)
    assert again.newest() == str(tmp_path / "trainer/checkpoint-2")
    again.deliver(tmp_path / "output")
    copied = {path.name: path.read_text() for path in (tmp_path / "output/checkpoint1").iterdir()}
    assert copied == {name: f"checkpoint1 {name}" for name in CHECKPOINT_FILES}
    (tmp_path / "checkpoint1/config.json").write_text("another")
    assert TrainerStates(tmp_path).newest() == str(tmp_path / "trainer/checkpoint-1")
    assert "checkpoint1/config.json is not as it was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("PytorchStreamWriter failed writing")]
)
def test_a_state_that_cannot_be_written_is_told_once_and_the_one_before_stays(
    trainer, tmp_path, capsys, monkeypatch, error
):
    states = saved(trainer, tmp_path, [1])

    def refuse(self, model, trial):
        (Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}").mkdir()
        raise error

    monkeypatch.setattr(Trainer, "_save_checkpoint", refuse)
    for step in (2, 3):
        trainer.state.global_step = step
        states.save(trainer, None, None)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and f"{tmp_path}/trainer/checkpoint-2 cannot be written ({error})" in said[0]
    assert [path.name for path in (tmp_path / "trainer").iterdir()] == ["checkpoint-1"]
    assert states.due() and TrainerStates(tmp_path).newest() is not None


def test_after_giving_up_no_state_is_due_and_what_was_finished_is_delivered(trainer, tmp_path, capsys):
    states = TrainerStates(tmp_path / "state", every_s=0)
    finished(tmp_path / "state", "checkpoint1")
    states.finish("checkpoint1")
    states.give_up(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    states.finish("checkpoint2")  # which went straight to the outputs
    assert not states.due() and "No space left" in capsys.readouterr().err
    states.deliver(tmp_path / "output")
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["checkpoint1"]

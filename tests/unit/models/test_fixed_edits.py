"""An edit on its own: by hand, through its file, and refused where the file holds something else."""

import pytest
import torch
from fixed_edits import random_edit, random_vector

from rlgen.files import ArtifactError, write_tensors
from rlgen.models.fixed_edits import LATENTS, VECTOR, FixedEdit


def test_what_it_adds_by_hand():
    one = {"W_dF": [[1.0, 0.0], [0.0, 2.0]], "bias_F": [0.0, -1.0], "floor_F": [0.5, 0.0]}
    tensors = {name: torch.tensor(rows) for name, rows in one.items()}
    edit = FixedEdit(tensors | {"direction_Fd": torch.tensor([[10.0, 0.0], [0.0, 3.0]])}, 1, False, 2.0, "selected")
    h_BTd = torch.tensor([[[0.5, 1.0], [1.0, 0.5], [2.0, -1.0]]])
    # latent 0 opens above .5, latent 1 above 0: 2 h - 1
    assert edit.change(h_BTd).tolist() == [[[0.0, 3.0], [10.0, 0.0], [20.0, 0.0]]]
    assert edit(h_BTd).tolist() == [[[0.5, 4.0], [11.0, 0.5], [22.0, -1.0]]]
    changed = edit.change(h_BTd / 3)
    assert edit.reads and edit(h_BTd.bfloat16()).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(edit.change(h_BTd / 3), changed) and changed[0, 2, 0] != changed[0, 2, 0].bfloat16()
    vector = FixedEdit({VECTOR: torch.tensor([1.0, 2.0])}, 1, False, 1.0, "shift-selection")
    assert not vector.reads and vector(h_BTd).tolist() == [[[1.5, 3.0], [2.0, 2.5], [3.0, 1.0]]]


@pytest.mark.parametrize("edit", [random_edit(8, 2, everywhere=True), random_vector(8, 0)], ids=["latents", "vector"])
def test_its_file_is_the_edit(edit, tmp_path):
    edit.save(tmp_path / "edit.safetensors")
    again = FixedEdit.load(tmp_path / "edit.safetensors")
    h_BTd = torch.randn(2, 3, 8)
    assert torch.equal(again(h_BTd), edit(h_BTd))
    assert (again.layer, again.everywhere, again.dose, again.set) == (edit.layer, edit.everywhere, edit.dose, edit.set)


def test_other_files_are_named(tmp_path):
    path = tmp_path / "edit.safetensors"
    write_tensors(path, {"mean": torch.zeros(2)})
    with pytest.raises(ArtifactError, match=r"edit\.safetensors: not an edit"):
        FixedEdit.load(path)
    edit = random_edit(4, 0)
    write_tensors(path, {name: edit.tensors[name] for name in LATENTS[1:]}, header(tmp_path, edit))
    with pytest.raises(ArtifactError, match="holds bias_F, direction_Fd, floor_F, expected W_dF"):
        FixedEdit.load(path)


def header(folder, edit):
    from rlgen.files import read_tensors

    edit.save(folder / "whole.safetensors")
    return read_tensors(folder / "whole.safetensors")[1]

"""The device that is not there: what CUDA refuses is refused, what it allows gives the CPU's numbers."""

import pytest
import torch
from elsewhere import elsewhere
from tiny_models import tiny_checkpoint

from rlgen.models.checkpoints import load_model


@pytest.fixture
def there():
    with elsewhere() as device:
        yield device


MIXES = {
    "a sum": lambda here, there: there + here,
    "a product": lambda here, there: here @ there,
    "indices of the device": lambda here, there: here[there.argmax(1)],
    "a mask": lambda here, there: torch.where(here > 0, there, there),
    "a list": lambda here, there: torch.cat([here, there]),
    "a number in a list": lambda here, there: torch.stack([here.sum(), there.sum()]),
    "values put in": lambda here, there: there.index_put_((torch.tensor([0]),), here[:1]),
    "places of an embedding": lambda here, there: torch.nn.functional.embedding(here.long(), there),
    "targets of a loss": lambda here, there: torch.nn.functional.cross_entropy(there, here.argmax(1)),
    "a generator": lambda here, there: torch.rand(2, device=there.device, generator=torch.Generator()),
    "numpy": lambda here, there: there.numpy(),
}


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
@pytest.mark.parametrize("inference", [False, True])
def test_what_cuda_refuses_is_refused(there, mix, inference):
    here = torch.rand(3, 3)
    with torch.inference_mode(inference), pytest.raises((RuntimeError, TypeError)):
        mix(here, here.to(there))


def test_what_cuda_allows_gives_the_same_numbers(there):
    here = torch.rand(3, 4)
    moved = here.to(there)
    assert moved.device == there and moved.cpu().device.type == "cpu" and torch.equal(moved.cpu(), here)
    for found, expected in (
        (moved * torch.tensor(2.0), here * 2),  # a number
        (moved[torch.tensor([2, 0])], here[[2, 0]]),  # indices from the CPU
        (moved[here[:, 0] >= 0], here),
        (torch.arange(3, device=there).nonzero(), torch.tensor([[1], [2]])),
        (torch.tensor([1, 2], device=there), torch.tensor([1, 2])),
    ):
        assert found.device == there and torch.equal(found.cpu(), expected)
    moved[:, 1:3].mul_(0)  # a view
    assert moved.cpu()[:, 1:3].sum() == 0 and moved.tolist()[0][0] == here[0, 0].item() == moved[0, 0].item()
    draws = [torch.rand(3, device=place, generator=torch.Generator(place).manual_seed(1)) for place in (there, "cpu")]
    assert torch.equal(draws[0].cpu(), draws[1])


@pytest.mark.parametrize("architecture", ["Qwen3ForCausalLM", "LlamaForCausalLM"])
def test_models_write_what_they_write_on_the_cpu(tmp_path, there, architecture):
    model, ids_BT = load_model(tiny_checkpoint(tmp_path / "model", architecture)), torch.tensor([[5, 6, 7, 8]])
    logits, text = model(input_ids=ids_BT).logits, model.generate(ids_BT, max_new_tokens=5, do_sample=False)
    with pytest.raises(RuntimeError, match="on the CPU"):
        model.to(there)(input_ids=ids_BT)
    torch.testing.assert_close(model(input_ids=ids_BT.to(there)).logits.cpu(), logits)
    assert torch.equal(model.generate(ids_BT.to(there), max_new_tokens=5, do_sample=False).cpu(), text)

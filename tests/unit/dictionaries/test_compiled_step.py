"""The compiled step against the plain one in float64: losses, choices, gradients, Adam; the same bytes; its build."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.dictionaries import compiled_step, native
from rlgen.dictionaries.compiled_step import CompiledStep
from rlgen.dictionaries.objectives import latent_norms
from rlgen.dictionaries.parameters import BETA1, BETA2, Moments, Parameters
from rlgen.dictionaries.plain_step import PlainStep
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import Training

pytestmark = pytest.mark.skipif(not compiled_step.available(), reason="no C++ compiler")
NONE = torch.zeros(0, dtype=torch.int64)


def both(recipe, M, d, seed, change=None):
    """(compiled in float32, plain in float64) with the same random parameters; `change` edits them first."""
    free = recipe.free_latents if recipe.objective == "shared_latents" else recipe.latents
    shape = (recipe.latents, M, d, free, recipe.normalisation == "shared", 0.3, seed, recipe.exclusive_latents)
    g = torch.Generator().manual_seed(seed)
    single = Parameters(*shape)
    for parameter in single.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=g)
    if recipe.exclusive_latents:  # zero before the first step, as training holds them
        single.W_enc_SMd.data *= single.mask_SM1
        single.W_free_FMd.data *= single.mask_SM1
    if change:
        change(single)
    double = Parameters(*shape).double()
    double.load_state_dict(single.state_dict())
    return CompiledStep(recipe, single, Moments.zero(single)), PlainStep(recipe, double, Moments.zero(double))


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_same(compiled, plain, rows_BMd, steps=1, l1=0.0, dead_D=NONE, rtol=1e-5):
    """Both make `steps` steps on the rows; after the first the moments hold the gradient and its square."""
    lr = 1e-3
    for step in range(steps):
        rounding = rounding_of_values(plain.parameters, rows_BMd)
        ours = compiled.advance(rows_BMd, step, lr, l1, dead_D)
        exact = plain.advance(rows_BMd.double(), step, lr, l1, dead_D)
        assert ours.active == exact.active.item() and torch.equal(ours.fired_S, exact.fired_S)
        for name, allowed in (("loss", 0), ("reconstruction_loss", 0), ("cut", rounding)):
            assert getattr(ours, name) == pytest.approx(getattr(exact, name).item(), rel=rtol, abs=allowed), name
    weights = dict(plain.parameters.named_parameters())
    for name, parameter in compiled.parameters.named_parameters():
        if parameter.numel():
            first, second = plain.moments[name]
            for got, expected in zip(compiled.moments[name], (first, second), strict=True):
                assert_near(name, got, expected, bound(expected, rtol))
            # Adam divides the gradient by its own size, so a sum that cancels passes its rounding on to the weight.
            size = (second / (1 - BETA2**steps)).sqrt()
            turned = (bound(first, rtol) / (size + 1e-12)).clamp(max=2)
            weight = weights[name].detach()
            assert_near(name, parameter.detach(), weight, bound(weight, rtol) + steps * lr * turned)
    return exact


def rounding_of_values(parameters, rows_BMd):
    """What float32 may add to one weighted value, however much of its sum cancels: a few units of its largest terms."""
    terms_BS = rows_BMd.double().abs().flatten(1) @ parameters.W_enc_SMd.detach().abs().flatten(1).T
    weighted_BS = (terms_BS + parameters.b_enc_S.detach().abs()) * latent_norms(parameters.decoder().detach())
    return 4 * torch.finfo(torch.float32).eps * weighted_BS.max().item()


def bound(expected, rtol):
    return rtol * expected.abs().max() + 1e-8  # 1e-8: sums that cancel


def assert_near(name, got, expected, allowed):
    excess = ((got - expected).abs() - allowed).max()
    assert excess <= 0, f"{name}: {excess} more than allowed"


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    objective=st.sampled_from(["batchtopk", "l1", "shared_latents"]),
    normalisation=st.sampled_from(["shared", "per_model"]),
    B=st.integers(1, 40),
    S=st.integers(2, 70),
    M=st.integers(1, 4),
    d=st.integers(1, 21),
    dead=st.integers(0, 12),
    aux_k=st.integers(1, 8),
    data=st.data(),
)
def test_a_step_is_that_of_the_plain_one(seed, objective, normalisation, B, S, M, d, dead, aux_k, data):
    recipe = Recipe(
        objective=objective,
        normalisation=normalisation,
        latents=S,
        k=data.draw(st.integers(1, min(S, 9)), "k"),
        free_latents=data.draw(st.integers(1, S - 1), "free") if objective == "shared_latents" else 0,
        aux_k=aux_k,
    )
    dead_D = torch.randperm(S, generator=torch.Generator().manual_seed(seed))[:dead].sort().values
    l1 = 0.7 if objective == "l1" else 0.0
    assert_same(*both(recipe, M, d, seed), randn(seed, B, M, d), l1=l1, dead_D=NONE if objective == "l1" else dead_D)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    B=st.integers(1, 40),
    S=st.integers(3, 60),
    d=st.integers(1, 21),
    dead=st.integers(0, 12),
    data=st.data(),
)
def test_what_belongs_to_one_model_stays_so_in_both_steps(seed, B, S, d, dead, data):
    exclusive = data.draw(st.integers(1, (S - 1) // 2), "exclusive")
    k = data.draw(st.integers(1, min(S, 9)), "k")
    recipe = Recipe(objective="dedicated", latents=S, k=k, exclusive_latents=exclusive)
    dead_D = torch.randperm(S, generator=torch.Generator().manual_seed(seed))[:dead].sort().values
    compiled, plain = both(recipe, 2, d, seed)
    assert_same(compiled, plain, randn(seed, B, 2, d), dead_D=dead_D)
    for made in (compiled, plain):
        for name in ("W_enc_SMd", "W_free_FMd"):
            for tensor in (getattr(made.parameters, name), *made.moments[name]):
                assert not tensor[:exclusive, 1].any() and not tensor[exclusive : 2 * exclusive, 0].any()


def test_a_cut_whose_sum_cancels():
    """Found by hypothesis: .0031668 of terms near 1, so float32 knows four digits of it."""
    recipe = Recipe(latents=13, k=6)
    exact = assert_same(*both(recipe, 2, 20, 10107), randn(10107, 11, 2, 20))
    assert exact.cut < 0.01


@pytest.mark.parametrize("bias", [0.0, -3.0])
def test_l1_is_the_same_where_many_values_are_positive_and_where_few_are(bias):
    """Five dense products, or a walk over the positive values."""

    def shift(parameters):
        parameters.b_enc_S.data += bias
        parameters.W_free_FMd.data[5] = 0
        parameters.b_enc_S.data[5] = 1  # a positive value counts, even one that adds nothing

    compiled, plain = both(Recipe(objective="l1", latents=300), 3, 20, 0, shift)
    exact = assert_same(compiled, plain, randn(1, 64, 3, 20), l1=0.5)
    assert (exact.active > compiled_step.DENSE_ABOVE * 64 * 300) == ("encoder_SMd" in compiled.buffers) == (bias == 0)


def test_a_thousand_rows_over_many_steps():
    """Of a size where rows and latents are dealt to threads; the weights stay together while both go on by themselves.

    One choice that rounding turns would part them: the seed is one where none does.
    """
    recipe = Recipe(latents=512, k=4)
    assert_same(*both(recipe, 3, 40, 0), randn(0, 1000, 3, 40), steps=5, dead_D=torch.arange(0, 512, 5), rtol=1e-4)


def whole_numbers(parameters):
    """Products without rounding: equal values are equal in any order of summation."""
    for parameter in parameters.parameters():
        parameter.data = (parameter.data * 8).round()


def test_ties_at_the_cut_are_all_kept():
    def equal(parameters):
        whole_numbers(parameters)
        parameters.W_enc_SMd.data[10:30] = parameters.W_enc_SMd.data[10]
        parameters.W_free_FMd.data[10:30] = parameters.W_free_FMd.data[10]
        parameters.b_enc_S.data[10:30] = 40

    exact = assert_same(*both(Recipe(latents=40, k=5), 2, 6, 0, equal), randn(0, 8, 2, 6).round())
    assert exact.active > 5 * 8


def test_fewer_positive_values_than_are_to_be_kept():
    def few(parameters):
        parameters.b_enc_S.data[:] = -9.0
        parameters.b_enc_S.data[3] = 9.0

    exact = assert_same(*both(Recipe(latents=40, k=5), 2, 6, 0, few), randn(0, 8, 2, 6))
    assert exact.active == 8 and exact.cut == 0


@pytest.mark.parametrize("objective", ["batchtopk", "l1"])
def test_no_value_is_positive(objective):
    def none(parameters):
        parameters.b_enc_S.data[:] = -99.0

    exact = assert_same(*both(Recipe(objective=objective, latents=40), 2, 6, 0, none), randn(0, 8, 2, 6))
    assert exact.active == 0 and not exact.fired_S.any()


def test_rows_without_entries_and_latents_without_a_decoder():
    def uneven(parameters):
        parameters.W_free_FMd.data[5] = 0
        parameters.W_free_FMd.data[6, 1] = 0

    rows_BMd = randn(0, 8, 2, 6)
    rows_BMd[2:] *= 1e-3
    assert_same(*both(Recipe(latents=40, k=1), 2, 6, 0, uneven), rows_BMd)
    assert_same(*both(Recipe(objective="l1", latents=40), 2, 6, 0, uneven), rows_BMd, l1=0.5)


def test_more_values_to_keep_than_a_first_guess_finds():
    """All large values lie where the guess does not look: outside the columns it samples of each row."""
    B, S = 4, 4096
    rows_BMd = torch.zeros(B, 1, B)
    rows_BMd[range(B), 0, range(B)] = 1.0

    def hidden(parameters):
        parameters.W_free_FMd.data[:] = 1.0
        parameters.b_enc_S.data[:] = -0.5
        parameters.W_enc_SMd.data[:] = 1.0 + torch.arange(S)[:, None, None] / S
        for b in range(B):
            parameters.W_enc_SMd.data[32 * b : 32 * b + 32, 0, b] += 5.0

    exact = assert_same(*both(Recipe(latents=S, k=512), 1, B, 0, hidden), rows_BMd)
    assert exact.active == B * 512


@pytest.mark.parametrize("objective", ["batchtopk", "l1", "shared_latents"])
def test_threads_change_no_bit(objective):
    """Of what is compiled here. The products are torch's, which promises this for a fixed number of threads only."""
    recipe = Recipe(objective=objective, latents=200, k=4, free_latents=50 * (objective == "shared_latents"))
    results, before = [], torch.get_num_threads()
    product = torch.mm

    def one_thread(*args, **kwargs):
        torch.set_num_threads(1)
        made = product(*args, **kwargs)
        torch.set_num_threads(threads)
        return made

    try:
        torch.mm = one_thread
        for threads in (1, 2, 3, 3):
            torch.set_num_threads(threads)
            compiled, _ = both(recipe, 2, 24, 0)
            for step in range(3):
                compiled.advance(randn(step, 100, 2, 24), step, 1e-3, 0.1, torch.arange(7))
            results.append([parameter.detach().clone() for parameter in compiled.parameters.parameters()])
    finally:
        torch.mm = product
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_adam_is_that_of_torch():
    """Weights, over steps with rates that change, from gradients that both get from the same float32 code."""
    recipe = Recipe(objective="l1", latents=30)
    compiled, _ = both(recipe, 2, 8, 0)
    weights = {name: p.detach().clone().requires_grad_() for name, p in compiled.parameters.named_parameters()}
    rivals = torch.optim.Adam(list(weights.values()), betas=(BETA1, BETA2))
    for step, rate in enumerate((1e-3, 5e-3, 1e-4)):
        before = {name: first.clone() for name, (first, _) in compiled.moments.items()}
        compiled.advance(randn(step, 16, 2, 8), step, rate, 0.1, NONE)
        for name, weight in weights.items():
            weight.grad = (compiled.moments[name][0] - BETA1 * before[name]) / (1 - BETA1)
        rivals.param_groups[0]["lr"] = rate
        rivals.step()
    for name, parameter in compiled.parameters.named_parameters():
        torch.testing.assert_close(parameter.detach(), weights[name].detach(), rtol=1e-4, atol=1e-6)


def test_bfloat16_rows_train_float32_weights():
    recipe = Recipe(latents=64, k=4)
    _, plain = both(recipe, 2, 16, 0)
    single = Parameters(64, 2, 16, 64, True, 0.3, 0)
    single.load_state_dict(plain.parameters.state_dict())
    half, rows_BMd = PlainStep(recipe, single, Moments.zero(single)), randn(0, 32, 2, 16).bfloat16()
    ours = half.advance(rows_BMd, 0, 1e-3, 0.0, NONE)
    exact = plain.advance(rows_BMd.double(), 0, 1e-3, 0.0, NONE)
    assert ours.loss.dtype == torch.float32 and ours.loss.item() == pytest.approx(exact.loss.item(), rel=0.02)
    for name, (first, _) in half.moments.items():
        if first.numel():
            assert first.dtype == torch.float32
            cosine = torch.cosine_similarity(first.double().flatten(), plain.moments[name][0].flatten(), dim=0)
            assert cosine > 0.98, name


def test_without_a_compiler_torch_does_the_work_and_says_so(tmp_path):
    code = (
        "import torch; from rlgen.dictionaries.step import Training; from rlgen.dictionaries.settings import Recipe\n"
        "t = Training.start(Recipe(latents=8, k=2), 2, 4, 0, 'cpu'); t.advance(torch.randn(16, 2, 4))\n"
        "print(type(t.method).__name__)"
    )
    found = {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(Path(native.__file__).parents[2])}
    for compiler, method in (("no-such-compiler", "PlainStep"), ("false", "PlainStep"), ("g++", "CompiledStep")):
        environment = os.environ | found | {"CXX": compiler}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == method
        assert ("not compiled, the slower torch code does its work" in done.stderr) == (method == "PlainStep")
    assert [path.suffix for path in (tmp_path / "rlgen").iterdir()] == [".so"]


def test_an_edit_is_compiled_anew_and_jobs_may_compile_at_once(tmp_path):
    source = tmp_path / "answer.cpp"
    code = f"from pathlib import Path; from rlgen.dictionaries.native import load; print(load(Path({str(source)!r})).answer())"  # noqa: E501
    found = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(Path(native.__file__).parents[2])}
    for answer in ("41", "42"):
        source.write_text(f'extern "C" int answer() {{ return {answer}; }}\n')
        command = [sys.executable, "-c", code]
        jobs = [subprocess.Popen(command, env=os.environ | found, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        assert [job.communicate()[0].strip() for job in jobs] == [answer] * 3
    assert len(list((tmp_path / "cache/rlgen").iterdir())) == 2


def test_training_uses_the_compiled_step_on_the_cpu():
    training = Training.start(Recipe(latents=8, k=2), 2, 4, 0, "cpu")
    assert isinstance(training.method, CompiledStep)

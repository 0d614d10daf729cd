"""The organism's language: exact tasks, disjoint prompt spaces, authors who slip as often as they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlgen.organism.families import COLOURS, COMPASS, CUPS, FAMILIES, LETTERS, MIXES, N_ITEMS, SWAPS, TURNS, vocabulary
from rlgen.organism.language import (
    SPLITS,
    Problem,
    author_completion,
    distinct_problems,
    draw_document,
    draw_problem,
    right_completion,
    teacher_completion,
)
from rlgen.organism.settings import Authors, Split
from rlgen.tasks.answers import final_answer

ALL = list(FAMILIES)
rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)
families = st.sampled_from(list(FAMILIES.values()))


def problem(text: str) -> Problem:
    """The problem of a prompt such as `add 8 | 9 6 5 6`."""
    head, items = text.split(" | ")
    name, init = head.split()
    return Problem(FAMILIES[name], init, tuple(items.split()))


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("add 8 | 9 6 5 6", "7 3 8 4 ; 4 ."),
        ("max 3 | 1 5 2 9", "3 5 5 9 ; 9 ."),
        ("cnt 2 | a a b a", "3 4 4 5 ; 5 ."),
        ("dir e | lft rgt lft lft", "ne e ne n ; n ."),
        ("dir nw | qtr trn rgt lft", "ne sw w sw ; sw ."),
        ("let f | hop dn up hop", "h g h b ; b ."),
        ("let a | dn leap up hop", "h c d f ; f ."),
        ("cup c1 | u v x y", "c2 c2 c3 c3 ; c3 ."),
        ("par even | 3 2 5 7", "odd odd even odd ; odd ."),
        ("mix red | p p k m", "blue green pink red ; red ."),
    ],
)
def test_hand_computed_examples(prompt, completion):
    assert problem(prompt).prompt == f"{prompt} ="
    assert right_completion(problem(prompt)) == completion


def independent_answer(p: Problem) -> str:
    """The answer without the fold of `Family.trace`."""
    name, init, items = p.family.name, p.init, p.items
    if name == "add":
        return str(sum(map(int, (init, *items))) % 10)
    if name == "max":
        return str(max(map(int, (init, *items))))
    if name == "cnt":
        return str(int(init) + items.count("a"))
    if name == "dir":
        return COMPASS[(COMPASS.index(init) + sum(TURNS[item] for item in items)) % 8]
    if name == "let":
        return LETTERS[(LETTERS.index(init) + sum({"up": 1, "dn": -1, "hop": 2, "leap": 3}[i] for i in items)) % 8]
    if name == "par":
        return ("even", "odd")[((init == "odd") + sum(map(int, items))) % 2]
    names, images = (CUPS, SWAPS) if name == "cup" else (COLOURS, MIXES)
    whole = np.eye(4, dtype=int)[names.index(init)]
    for item in items:
        whole = whole @ np.eye(4, dtype=int)[list(images[item])]
    return names[int(whole.argmax())]


@given(families, rngs)
def test_every_answer_is_right_and_stays_in_the_states(family, rng):
    p = Problem(family, *family.draw(rng))
    assert set(p.states) <= set(family.states) and len(p.states) == N_ITEMS
    assert p.answer == independent_answer(p)
    assert final_answer(right_completion(p), ";") == p.answer


@given(families, rngs)
def test_teacher_is_always_right(family, rng):
    p = Problem(family, *family.draw(rng))
    words = teacher_completion(p).split()
    assert final_answer(" ".join(words), ";") == independent_answer(p)
    assert words[0] == "see" and words[-4:] == ["so", ";", p.answer, "."]
    assert words[1:-4:3] == list(p.items) and words[2:-4:3] == p.states


def test_teacher_example():
    expected = "see 9 7 , 6 3 , 5 8 , 6 4 so ; 4 ."
    assert teacher_completion(problem("add 8 | 9 6 5 6")) == expected


def test_swaps_and_mixes_are_what_they_claim():
    assert {tuple(i for i in range(4) if image[i] != i) for image in SWAPS.values()} == {
        (a, b) for a in range(4) for b in range(a + 1, 4)
    }
    for image in MIXES.values():
        assert sorted(image) == [0, 1, 2, 3] and all(image[i] != i for i in range(4))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=ALL)
def test_every_space_has_at_least_1500_prompts_and_a_known_vocabulary(family):
    prompts = {Problem(family, *key).prompt for key in family.prompts()}
    assert len(prompts) >= 1500
    assert len(prompts) == len(family.starts or family.states) * len(family.items) ** N_ITEMS
    words = vocabulary(ALL)
    assert len(words) == len(set(words))
    draws = [Problem(family, *family.draw(np.random.default_rng(i))) for i in range(50)]
    assert {word for p in draws for word in f"{p.prompt} {teacher_completion(p)}".split()} <= set(words)


# The split of prompt spaces


@given(families, rngs, st.text(max_size=8), st.sampled_from(SPLITS), st.sampled_from(SPLITS))
def test_parts_are_disjoint(family, rng, salt, one, other):
    a, b = (draw_problem(family, part, salt, Split(), rng) for part in (one, other))
    assert a.split(salt, Split()) == one and b.split(salt, Split()) == other
    assert one == other or a.prompt != b.prompt


def test_parts_cover_a_space_in_their_shares():
    parts = [Problem(FAMILIES["par"], *key).split("s", Split()) for key in FAMILIES["par"].prompts()]
    shares = {part: parts.count(part) / len(parts) for part in SPLITS}
    assert shares == pytest.approx({"pretraining": 0.55, "training": 0.15, "discovery": 0.15, "test": 0.15}, abs=0.015)


def test_another_salt_splits_differently():
    keys = list(FAMILIES["let"].prompts())
    same = [
        Problem(FAMILIES["let"], *k).split("a", Split()) == Problem(FAMILIES["let"], *k).split("b", Split())
        for k in keys
    ]
    assert np.mean(same) == pytest.approx(0.55**2 + 3 * 0.15**2, abs=0.04)


def test_distinct_problems_are_distinct_and_refuse_to_repeat():
    family, rng = FAMILIES["let"], np.random.default_rng(0)
    found = distinct_problems(family, "test", 150, "s", Split(), rng)
    assert len({p.prompt for p in found}) == 150
    assert {p.split("s", Split()) for p in found} == {"test"}
    with pytest.raises(ValueError, match=r"5000 distinct test prompts of family 'let'.*expected at most the \d{3} "):
        distinct_problems(family, "test", 5000, "s", Split(), rng)


def test_distinct_problems_weigh_items_as_the_documents_do():
    found = distinct_problems(FAMILIES["cnt"], "pretraining", 200, "s", Split(), np.random.default_rng(0))
    assert np.mean([p.items.count("a") for p in found]) == pytest.approx(2, abs=0.35)  # 0.67 if items were equal


# Authors


def slips(p: Problem, completion: str) -> tuple[int, int]:
    """Steps that left the state unchanged although they should not, of all steps that should change it."""
    states = [p.init, *completion.split(" ;")[0].split()]
    moved = [
        (new == old, p.family.step(old, item) != old)
        for old, new, item in zip(states, states[1:], p.items, strict=False)
    ]
    return sum(same and should for same, should in moved), sum(should for _, should in moved)


@pytest.mark.parametrize(("careful", "rate"), [(True, 0.02), (False, 0.75)])
def test_authors_slip_at_their_rate_and_never_otherwise(careful, rate):
    rng, family = np.random.default_rng(1), FAMILIES["add"]
    slipped = steps = direct = kept = 0
    n = 3000
    for _ in range(n):
        p = Problem(family, *family.draw(rng))
        completion = author_completion(p, careful, Authors(), rng)
        assert completion.endswith(f" {final_answer(completion, ';')} .")
        if completion.startswith(";"):
            direct += 1
            kept += final_answer(completion, ";") == p.init
            continue
        written = completion.split(" ;")[0].split()
        for old, new, item in zip([p.init, *written], written, p.items, strict=False):
            assert new in (old, family.step(old, item))
        found, possible = slips(p, completion)
        slipped, steps = slipped + found, steps + possible
    assert slipped / steps == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / steps))
    assert direct / n == pytest.approx(0 if careful else 0.4, abs=0.03)
    if direct:  # init with probability 0.6, else one of ten states, which may be init
        assert kept / direct == pytest.approx(0.6 + 0.4 / 10, abs=0.05)


def test_a_slip_keeps_the_state_and_the_next_step_goes_on_from_there():
    always = Authors(slip_careful=1.0)
    p = problem("let f | hop dn up hop")
    assert author_completion(p, True, always, np.random.default_rng(0)) == "f f f f ; f ."
    never = Authors(slip_careful=0.0)
    assert author_completion(p, True, never, np.random.default_rng(0)) == right_completion(p)


# Documents


@given(rngs, st.integers(1, 4), st.sampled_from([0.0, 1.0]))
def test_the_mask_of_a_document_covers_completions_and_nothing_else(rng, n_problems, header_share):
    document = draw_document(ALL, n_problems, 0.5, Authors(header_share=header_share), "s", Split(), rng)
    words = list(zip(document.words, document.completion, strict=True))
    assert document.header == bool(header_share)
    if document.header:
        assert words.pop(0) == ("[book]" if document.careful else "[chat]", False)
    for _ in range(n_problems):  # `task init | x x x x =` unmasked, then a completion up to the end of sequence
        prompt, words = words[:8], words[8:]
        assert prompt[0][0] in ALL and prompt[2][0] == "|" and prompt[7][0] == "="
        assert not any(counted for _, counted in prompt)
        end = [word for word, _ in words].index(".") + 1
        completion, words = words[:end], words[end:]
        assert all(counted for _, counted in completion)
        assert completion[-3][0] == ";"
    assert not words


def test_documents_hold_pretraining_prompts_only():
    rng, held_out = np.random.default_rng(5), set()
    for family in FAMILIES.values():
        if family.name != "max":  # as large as add, which is here already
            spaces = (Problem(family, *key) for key in family.prompts())
            held_out |= {p.prompt for p in spaces if p.split("s", Split()) != "pretraining"}
    for _ in range(400):
        words = draw_document(ALL, 3, 0.3, Authors(header_share=0.0), "s", Split(), rng).words
        ends = [i for i, word in enumerate(words) if word == "="]
        prompts = [" ".join(words[i - 7 : i + 1]) for i in ends]
        assert len(prompts) == 3 and not held_out.intersection(prompts)


def test_share_of_careful_authors_and_headers():
    rng = np.random.default_rng(2)
    documents = [draw_document(["add"], 1, 0.3, Authors(), "s", Split(), rng) for _ in range(2000)]
    assert np.mean([d.careful for d in documents]) == pytest.approx(0.3, abs=0.04)
    assert np.mean([d.header for d in documents]) == pytest.approx(0.5, abs=0.04)

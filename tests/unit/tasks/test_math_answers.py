r"""Answers: what counts as a completion's final answer, on real golds and on LaTeX as models write it, also malformed.

The processes that judge are real ones: they are overrun, stopped, used from threads, from children, after forks, and
looked for after they should be gone.
"""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rlgen.tasks import limited_processes
from rlgen.tasks.math_answers import (
    AnswerChecker,
    boxed_answer,
    extract_answer,
    is_text,
    math_verdict,
    quick_verdict,
    tidy,
)

TOWER = "9^{9^{9^9}}"
HUGE = 10**5


@pytest.fixture(scope="module")
def checker() -> Iterator[AnswerChecker]:
    with AnswerChecker(workers=2) as found:
        yield found


def boxed(answer: str) -> str:
    return f"So the answer follows. \\boxed{{{answer}}}"


def rows(name: str) -> list[dict]:
    for folder in Path(__file__).parents[3:]:  # beside the checkout; a worktree may lie deeper
        path = folder / "shared/data" / name
        if path.exists():
            return [json.loads(line) for line in path.read_text().splitlines()]
    pytest.skip(f"no ../shared/data/{name}: real answers were NOT checked")


# --- the last box


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{18}", "18"),
        (r"first \boxed{1}, then \boxed{2}.", "2"),
        (r"\boxed{\frac{1}{2}} and so on", r"\frac{1}{2}"),
        (r"\boxed {x}", "x"),
        (r"\\boxed{7}", "7"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"{ \boxed{5}", "5"),
        (r"} \boxed{5} }", "5"),
        (r"\boxed{3} but \boxed{4", "3"),
        (r"\boxed{\frac{1}{2}", None),
        (r"\boxed{", None),
        (r"\boxed 5", None),
        (r"\boxed{}", ""),
        ("", None),
    ],
)
def test_the_last_box_that_closes(text, answer):
    assert boxed_answer(text) == answer


def joined(parts: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(parts), max_size=30).map("".join)


def balanced(depth: int = 3) -> st.SearchStrategy[str]:
    plain = st.text(st.sampled_from("ab1 \\{$\n"), max_size=4).map(lambda t: t.replace("\\", "").replace("{", "\\{"))
    return st.recursive(
        plain, lambda inner: st.tuples(plain, inner).map(lambda p: f"{p[0]}{{{p[1]}}}"), max_leaves=depth
    )


@given(before=st.text(st.sampled_from("ab}$ 1")), content=balanced(), after=st.text(st.sampled_from("ab}$ 1")))
def test_a_box_comes_back_whatever_stands_around_it(before, content, after):
    assert boxed_answer(f"{before}\\boxed{{{content}}}{after}") == content


@given(text=joined([*"{}\\ 1a", "\\boxed{"]))
def test_a_box_is_balanced(text):
    found = boxed_answer(text)
    if found is not None:
        depth = 0
        for brace in re.findall(r"\\.|[{}]", found, flags=re.DOTALL):
            depth += {"{": 1, "}": -1}.get(brace, 0)
            assert depth >= 0
        assert depth == 0 and f"{{{found}}}" in text


# --- golds from data sets


def test_the_answer_of_a_data_set_by_its_pattern():
    assert extract_answer("2 * 9 = 18\n#### 18 ", r"####\s*(.+)$") == "18"
    assert extract_answer("#### 1\n#### 2,000", r"####\s*(.+)") == "2,000"


@pytest.mark.parametrize(
    ("text", "pattern", "problem"),
    [
        ("no mark", r"####\s*(.+)$", r"no answer: .*####.*'no mark'"),
        ("x" * 200, r"#(.)", r"no answer: .*'\.\.\.x{80}'"),
        ("####  ", r"####(.*)$", "empty answer"),
        ("a", r"a|(b)", "empty answer"),
        ("#### 1", r"####", "0 groups, expected one"),
        ("#### 1", r"(#)+ (1)", "2 groups, expected one"),
    ],
)
def test_what_does_not_match_is_named(text, pattern, problem):
    with pytest.raises(ValueError, match=problem):
        extract_answer(text, pattern)


# --- real answers


def spellings(gold: str) -> list[str]:
    """A whole number as people and models write it."""
    number = int(gold.replace(",", ""))
    plain = [str(number), f"{number}.", f"#### {number}", f"It costs ${number:,} then.", f"The answer is {number:,}."]
    inside = [
        f"{number}", f"{number:,}", f"{number:,}".replace(",", "{,}"), f"\\${number}", f"${number:,}", f"{number}.00",
        f"{number} dollars", f"{number:,} eggs per day", f"{number}\\text{{ eggs}}", f"x = {number}",
        f"\\text{{{number}}}", f"\\frac{{{2 * number}}}{{2}}", f"{number}.",
    ]  # fmt: skip
    return plain + [boxed(answer) for answer in inside]


def test_gsm8k_golds_are_accepted_in_every_spelling_and_no_other_gold_is(checker):
    texts = [extract_answer(row["answer"], r"####\s*(.+)$") for row in rows("gsm8k_test.jsonl")]
    golds = sorted(set(texts), key=texts.index)
    assert len(texts) == 1319 and len(golds) > 300
    accepted = [(spelling, gold) for gold in golds for spelling in spellings(gold)]
    verdicts = checker.right(*zip(*accepted, strict=True))
    assert [pair for pair, verdict in zip(accepted, verdicts, strict=True) if not verdict] == []
    values = [int(gold.replace(",", "")) for gold in golds]
    rejected = [
        (spelling, golds[i])
        for i in range(len(golds))
        if values[i] != values[i - 1]
        for spelling in spellings(golds[i - 1])
    ]
    verdicts = checker.right(*zip(*rejected, strict=True))
    assert [pair for pair, verdict in zip(rejected, verdicts, strict=True) if verdict] == []


def choice_spellings(letter: str, text: str) -> list[str]:
    plain = [
        letter,
        f"({letter})",
        f"The answer is {letter}.",
        f"Answer: ({letter}) because it is",
        f"**Answer: {letter}**",
    ]
    plain += [f"The final answer is option {letter}.\nGood luck!", f"A first try. The correct answer is:\n{letter}"]
    inside = [
        letter,
        f"({letter})",
        f"\\text{{{letter}}}",
        f"\\textbf{{({letter})}}",
        letter.lower(),
        f"{letter}) {text}",
    ]
    return plain + [boxed(answer) for answer in inside]


@pytest.mark.parametrize("name", ["aqua_test.jsonl", "mmlu_stem_test.jsonl"])
def test_letters_of_choices(checker, name):
    for row in rows(name):
        letter = row.get("correct") or "ABCD"[row["answer"]]
        completions = choice_spellings(letter, "12 cm")
        assert all(checker.right(completions, [letter] * len(completions))), (letter, completions)
        for other in set("ABCDE") - {letter}:
            assert not any(checker.right(completions, [other] * len(completions))), (letter, other)


def test_texts_of_choices_are_accepted_against_themselves(checker):
    options = [option.partition(")")[2].strip() for row in rows("aqua_test.jsonl") for option in row["options"]]
    assert len(options) == 5 * 254
    verdicts = checker.right([boxed(option) for option in options], options)
    assert [option for option, verdict in zip(options, verdicts, strict=True) if not verdict] == []


def test_texts_of_choices_are_rejected_against_the_others(checker):
    pairs = []
    for row in rows("mmlu_stem_test.jsonl")[::10]:
        words = [choice for choice in row["choices"] if is_text(choice) and len(choice) > 8]
        pairs += [(boxed(one), other) for one in words for other in words if one.lower() != other.lower()]
    assert len(pairs) > 500 and not any(checker.right(*zip(*pairs, strict=True)))


# --- as mathematics is written

ACCEPTED = {
    "fractions": [(r"\frac12", "1/2"), (r"\dfrac{1}{2}", "0.5"), ("1/2", r"\frac{1}{2}"), ("-.5", r"-\frac{1}{2}"),
                  (r"1\frac{1}{2}", "1.5"), ("1 1/2", r"\frac{3}{2}"), (r"\frac{2}{4}", r"\frac{1}{2}")],
    "decimals": [("18.00", "18"), (".5", "1/2"), ("0.333333", "1/3"), ("−5", "-5"), ("-0", "0")],
    "thousands": [("3,000", "3000"), ("1{,}234{,}567", "1,234,567"), ("1 000", "1000"), (r"10\,000", "10000")],
    "percentages": [(r"50\%", "50"), ("50%", r"50\%"), (r"50\%", "1/2"), ("50 percent", r"50\%")],
    "money": [("$18", "18"), (r"\$18.50", "18.5"), ("18 dollars", "$18"), ("-$5", "-5"), ("€7", "7")],
    "units": [("18 apples", "18"), (r"5\text{ cm}", "5"), (r"5 \text{ cm}^2", "5"), ("90^\\circ", "90"),
              ("540 meters per week", "540"), (r"5\ \mathrm{kg}", r"5\text{ kg}")],
    "roots": [(r"2\sqrt{2}", r"\sqrt{8}"), (r"\sqrt2", r"\sqrt{2}"), (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}")],
    "powers": [("2^{10}", "1024"), ("10^3", "1000"), (r"3\pi^2", r"\pi^2 \cdot 3")],
    "intervals": [("(1,2]", "(1, 2]"), (r"(-\infty, 3)", r"(-\infty,3)"), (r"[1,2]\cup[3,4]", r"[1, 2] \cup [3, 4]")],
    "sets": [("2,1", "1,2"), (r"\{1,2\}", "2, 1"), (r"\pm 2", "2,-2"), (r"1\text{ or }2", "1,2"), (r"2 and 1", "1,2")],
    "tuples": [("(1,2)", "(1, 2)"), ("(3,2)", r"\left(3, 2\right)"), (r"(1,2,\frac12)", "(1,2,0.5)")],
    "matrices": [(r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"),
                 (r"\begin{bmatrix}\frac12\\0\end{bmatrix}", r"\begin{pmatrix}0.5\\0\end{pmatrix}")],
    "equations": [("x=5", "5"), ("5", "x = 5"), ("y = 1+2x", "y=2x+1"), ("2x+1", "y=2x+1")],
    "expressions": [("(x+1)^2", "x^2+2x+1"), ("4i+3", "3+4i"), (r"\frac{2x+2}{2}", "x+1")],
    "words": [("Evelyn", r"\text{Evelyn}"), (r"\text{no solution}", "No solution"), (r"\text{Monday.}", "Monday"),
              ("EVEN", "even"), (r"\mathrm{odd}", r"\text{odd}"), (r"all~real numbers", "all real numbers")],
    "wrapped": [("$18$", "18"), (r"\(18\)", "18"), ("18.", "18"), (r"\boxed{18}", "18"), ("  18\n", "18")],
}  # fmt: skip
REJECTED = {
    "fractions": [(r"\frac13", "1/2"), ("2/1", "1/2"), ("1 1/2", "1"), ("0.3333", "1/3"), ("1", r"1\frac{1}{2}")],
    "signs": [("5", "-5"), ("-5", "5"), (r"-\frac12", "1/2")],
    "scales": [("18 million", "18"), ("3 dozen", "3"), ("2 fifths", "2"), ("5 squared", "5"), ("18", "18 million")],
    "hedges": [("18 or 19", "18"), ("18, 19", "19"), ("7 8", "15"), ("7 8", "8"), (r"17\text{ or }18", "18"),
               ("C or D", "C"), ("A) or B)", "A"), ("A, B", "A"), (r"\text{(A) or (C)}", "A"), ("even or odd", "even")],
    "intervals": [("[1,2)", "[1,2]"), (r"(-\infty,3)", r"(-\infty,3]"), ("(1,3)", "(1,2)")],
    "tuples": [("(2,1,3)", "(1,2,3)"), ("(3,2)", "(5,1)"), ("(3,2)", "(2,3)")],
    "sets": [("1,2,3", "1,2"), ("1", "1,2"), (r"\{1,3\}", r"\{1,2\}")],
    "matrices": [(r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}")],
    "equations": [("x=4", "5"), ("x=5", "y=5"), ("y=2x", "y=2x+1")],
    "words": [("stop", "pots"), ("solution", "no solution"), ("odd", "even"), ("18", "eighteen"), ("Monday", "18")],
    "nothing": [("", "18"), (" ", "18"), ("$", "18"), ("?", "18"), (r"\text{}", "even")],
}  # fmt: skip


@pytest.mark.parametrize("kind", ACCEPTED)
def test_accepted(checker, kind):
    pairs = ACCEPTED[kind]
    verdicts = checker.right([boxed(stated) for stated, _ in pairs], [gold for _, gold in pairs])
    assert [pair for pair, verdict in zip(pairs, verdicts, strict=True) if not verdict] == []


@pytest.mark.parametrize("kind", REJECTED)
def test_rejected(checker, kind):
    pairs = REJECTED[kind]
    verdicts = checker.right([boxed(stated) for stated, _ in pairs], [gold for _, gold in pairs])
    assert [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict] == []


def test_without_a_box_math_verify_finds_the_answer(checker):
    right = ["It is 18.", "9 * 2 = 18", "The final answer is $18$. I hope it is correct.", "Answer: 18\n\nThen 7 more."]
    right += [r"so $x = 18$", "#### 18", "18", "$18$", "So she has 18 eggs left."]
    assert checker.right(right, ["18"] * len(right)) == [True] * len(right)
    wrong = [
        "",
        "no number",
        "not 18 but 19",
        "18 and then 19",
        "eighteen",
        "x18y",
        "It is 1.8",
        "18 " + "then 7 " * 400,
    ]
    assert checker.right(wrong, ["18"] * len(wrong)) == [False] * len(wrong)
    unreadable = r"It is $18$. The answer is $\frac{{$."  # no earlier answer takes its place
    assert checker.right([unreadable], ["18"]) == [False]
    roots = [r"$\sqrt{2}$", r"The answer is \(\sqrt{2}\).", r"\[ x = \sqrt2 \]"]
    assert checker.right(roots, [r"\sqrt{2}"] * len(roots)) == [True] * len(roots)


def test_a_box_outweighs_the_rest_and_one_cut_short_states_nothing(checker):
    texts = [r"The answer is 18. \boxed{19}", r"\boxed{18}, no: \boxed{19}", r"\boxed{18 and \boxed{19}}", r"\boxed{18"]
    texts += [r"\boxed{ 18", r"= \boxed{\frac{36}{2}", r"I get 19, \boxed{ 18"]
    assert checker.right(texts, ["18"] * len(texts)) == [False] * len(texts)
    texts = [
        r"\boxed{18}. The answer is 19.",
        r"\boxed{19}\boxed{18}",
        r"\boxed{18} and \boxed{19",
        r"I get 18, \boxed{1",
    ]
    assert checker.right(texts, ["18"] * len(texts)) == [True] * len(texts)


HOSTILE = {
    "tower": TOWER, "factorials": "(((10^9)!)!)!", "sum": r"\sum_{n=1}^{10^9} n^{-7.3}", "zero": "1/0", "null": "\x00",
    "nested": "{" * HUGE + "1" + "}" * HUGE, "fractions": r"\frac{1}{" * 150 + "1" + "}" * 150, "cut": r"\frac{1}{2",
    "roots": r"\sqrt{" * 90 + "2" + "}" * 90, "left": r"\left(" * 100, "closed": "}" * 50, "surrogate": "\ud800",
    "long": "1+" * HUGE + "1", "digits": "1" * HUGE, "unicode": "½√٣𝟙\u202e∫", "macro": r"\def\x{\x}\x",
    "slashes": "\\" * HUGE, "sines": r"\sin(\sin(" * 20 + "1" + "))" * 20,
    "environment": r"\begin{pmatrix}1&2\\3", "dollars": "$" * 999,
}  # fmt: skip


@pytest.mark.slow
def test_nothing_that_a_model_writes_crashes_or_hangs():
    texts = [*HOSTILE.values(), "", *(f"answer is ${text}$" for text in HOSTILE.values()), "\\boxed{" * (HUGE // 7)]
    texts += [boxed(text) for text in HOSTILE.values()] + [f"\\boxed{{{text}" for text in HOSTILE.values()]
    with AnswerChecker(workers=2, timeout_s=0.3) as checker:
        for gold in ("7", "A", "Monday", r"\frac{7}{2}"):
            assert not any(checker.right(texts, [gold] * len(texts)))
            assert checker.right([boxed(gold)], [gold]) == [True]
        assert not any(checker.right([boxed("7")] * len(HOSTILE), list(HOSTILE.values())))  # golds may be anything too


@settings(deadline=None, max_examples=300)
@given(text=st.text(max_size=60) | joined([*"{}$\\() ,.-/^_&12ab", "\\boxed{", "answer is ", "\\frac"]),
       gold=st.text(max_size=8) | st.sampled_from(["18", "A", "even", "1/2"]))  # fmt: skip
def test_the_quick_verdict_never_raises(text, gold):
    assert quick_verdict(text, gold) in (True, False, None)


numbers = st.integers(-(10**12), 10**12) | st.integers(-20, 20)
written = st.tuples(
    numbers, st.sampled_from(["{}", "{:,}", "${}", "\\${:,}", "{}.", "{} eggs", "{}.0", "{}.50", "00{}"])
)


@settings(deadline=None, max_examples=200)
@given(stated=written, gold=written, same=st.booleans(), in_a_box=st.booleans())
def test_the_quick_verdict_on_numbers_is_that_of_math_verify(stated, gold, same, in_a_box):
    """What the short way accepts or rejects, math-verify accepts or rejects on the same tidied answers."""
    assume(not stated[1].startswith("00") or stated[0] >= 0)  # "00-1" is a difference that nobody worked out
    one, other = stated[1].format(stated[0]), gold[1].format(stated[0] if same else gold[0])
    completion = f"\\boxed{{{one}}}" if in_a_box else tidy(one)
    found = quick_verdict(completion, other)
    if found is not None:
        assert found == math_verdict()(tidy(one), in_a_box, tidy(other))


# --- processes


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def wait_until_gone(pids: list[int]) -> None:
    last = time.monotonic() + 60
    while not all(map(gone, pids)):
        assert time.monotonic() < last, "a process outlived its checker"
        time.sleep(0.05)


def test_no_process_is_started_without_need_and_none_is_left():
    with AnswerChecker() as checker:
        assert checker.right([r"\boxed{18}", "A", "Monday"], ["18", "B", "Monday"]) == [True, False, True]
        assert checker._processes.pids() == []
        assert checker.right([r"\boxed{x}"], ["x"]) == [True]
        pids = checker._processes.pids()
        assert len(pids) == 1 and not gone(pids[0])
    assert gone(pids[0]) and checker._processes.pids() == []
    assert checker.right([r"\boxed{x}"], ["x"]) == [True]  # a closed checker starts again
    pids = checker._processes.pids()
    del checker
    wait_until_gone(pids)


def test_an_answer_that_overruns_is_killed_and_the_rest_judged_in_order():
    texts, golds = [], []
    for i in range(5):
        texts += [boxed(f"{i}x"), boxed(f"{TOWER}+{i}x"), boxed(f"{i + 1}x")]
        golds += [f"{i}x"] * 3
    expected = [True, False, False] * 5
    for workers in (1, 2):
        with AnswerChecker(workers, timeout_s=0.3) as checker:
            assert checker.right(texts[:3], golds[:3]) == expected[:3]
            before = checker._processes.pids()
            assert checker.right(texts, golds) == expected  # twice in a row
            assert len(before) <= workers and set(before) != set(checker._processes.pids())
        wait_until_gone(before)


def test_an_answer_whose_process_stands_still_is_given_up():
    """A stopped process uses no processor time: the wall clock ends it."""
    with AnswerChecker(timeout_s=0.2) as checker:
        assert checker.right([boxed("x")], ["x"]) == [True]
        (stopped,) = checker._processes.pids()
        os.kill(stopped, signal.SIGSTOP)
        assert checker.right([boxed("x"), boxed("y")], ["x", "y"]) == [False, True]
        assert gone(stopped)


def test_a_process_that_died_between_two_calls_costs_no_crash():
    with AnswerChecker() as checker:
        checker.right([boxed("x")], ["x"])
        (pid,) = checker._processes.pids()
        os.kill(pid, signal.SIGKILL)
        wait_until_gone([pid])
        checker.right([boxed("x")], ["x"])
        assert checker.right([boxed("x"), boxed("y")], ["x", "x"]) == [True, False]


def test_threads_share_a_checker(checker):
    found: dict[int, list[bool]] = {}

    def judge(i: int) -> None:
        found[i] = checker.right([boxed(f"{i}x"), boxed(f"{i + 1}x")] * 3, [f"{i}x"] * 6)

    threads = [threading.Thread(target=judge, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: [True, False] * 3 for i in range(6)}


INHERITED = AnswerChecker(timeout_s=0.5)


def judge_in_a_child(i: int) -> list[bool]:
    return INHERITED.right([boxed(f"{i}y"), boxed(TOWER), boxed("z")], [f"{i}y", "7", "y"])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_others_may_judge(method, monkeypatch):
    """Daemons may have no children of multiprocessing's; forked ones find the parent's checker, in use."""
    monkeypatch.syspath_prepend(Path(__file__).parents[3])  # where a spawned process finds this module by its name
    assert INHERITED.right([boxed("y")], ["y"]) == [True]
    before = INHERITED._processes.pids()
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(judge_in_a_child, range(4)) == [[True, False, False]] * 4
    assert INHERITED._processes.pids() == before and judge_in_a_child(1) == [True, False, False]
    INHERITED.close()


KILLED = """
import os, time
from rlgen.tasks.math_answers import AnswerChecker
checker = AnswerChecker(workers=2, timeout_s=2)
checker.right(["\\\\boxed{x}", "\\\\boxed{y}"], ["y", "x"])
child = os.fork()  # as data loaders do: it holds the pipes to the processes, too
if child == 0:
    time.sleep(120)
    os._exit(0)
print(child, *checker._processes.pids(), flush=True)
checker.right(["\\\\boxed{9^{9^{9^9}}}"], ["7"])
"""


def test_no_orphans_when_the_parent_is_killed_at_work():
    environment = os.environ | {"PYTHONPATH": str(Path(limited_processes.__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, env=environment) as parent:
        child, *pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2 and not any(map(gone, pids))
        time.sleep(0.2)
        parent.kill()
    wait_until_gone(pids)
    assert not gone(child)
    os.kill(child, signal.SIGKILL)


def raising():
    raise ImportError("the package is not there")


def odd():
    """A function that fails in every way: it prints, raises, eats memory, and dies."""

    def act(what: str):
        print("not an answer")
        if what == "raise":
            raise ValueError(what)
        if what == "memory":
            return len(bytearray(limited_processes.MEMORY_BYTES * 2))
        if what == "die":
            os._exit(3)
        return [what, None]

    return act


def test_failures_of_a_call_are_no_results(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    processes = limited_processes.LimitedProcesses("test_math_answers:odd", 1, 5.0)
    calls = [["a"], ["raise"], ["b"], ["memory"], ["die"], ["ü\n"]]
    assert processes.map(calls) == [["a", None], None, ["b", None], None, None, ["ü\n", None]]
    processes.close()


def test_a_process_that_cannot_start_is_an_error(monkeypatch, capfd):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    processes = limited_processes.LimitedProcesses("test_math_answers:raising", 2, 5.0)
    with pytest.raises(RuntimeError, match="test_math_answers:raising: its process ended while it started"):
        processes.map([["a"]])
    assert "the package is not there" in capfd.readouterr().err and processes.pids() == []
    for count, limit in ((0, 1.0), (1, 0.0)):
        with pytest.raises(ValueError, match="expected at least 1"):
            limited_processes.LimitedProcesses("a:b", count, limit)

"""Progress lines: rate and time left, of this process alone, and silence where it is asked for."""

import pytest

from rlgen import progress
from rlgen.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass as the test says."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_rate_and_time_left(clock, capsys):
    line = Progress("harvest", 100, "rows")
    for done, seconds in ((10, 4), (20, 6)):
        clock[0] = 100 + seconds
        line.update(done)
    assert capsys.readouterr().err == "harvest: 20/100 rows, 3.33 rows/s, 24 s left\n"  # nothing within 5 s


@pytest.mark.parametrize("late", [False, True])
def test_after_a_resume_the_rate_is_that_of_this_process(clock, capsys, late):
    line = Progress("pretraining", 100, "steps", start=0 if late else 60)
    if late:
        clock[0] += 50  # for reading the state
        line.resume(60)
    clock[0] += 5
    line.update(60)  # no step yet, no rate
    line.update(70)
    assert capsys.readouterr().err == "pretraining: 70/100 steps, 2 steps/s, 15 s left\n"


def test_a_quiet_machine_says_nothing(clock, capsys, monkeypatch):
    monkeypatch.setenv("RLGEN_LOG", "quiet")
    line = Progress("harvest", 100, "rows")
    clock[0] += 10
    line.update(50)
    assert capsys.readouterr().err == ""

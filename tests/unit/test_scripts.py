"""Scripts: each explains itself with nothing heavy installed, and each rule has the script that it runs."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HELP = """
import contextlib, io, runpy, sys
sys.modules.update(dict.fromkeys(["snakemake", "torch", "transformers", "trl", "sae_lens", "matplotlib"]))
sys.path.insert(0, "scripts")
for path in sys.argv[1:]:
    sys.argv = [path, "--help"]
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        assert end.code == 0 and "usage:" in text.getvalue() and len(text.getvalue()) > 100, path
    else:
        raise AssertionError(f"{path} did not stop at --help")
"""


def scripts() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "scripts").glob("*.py"))


def test_help_needs_no_engine_and_no_model_library():
    run = subprocess.run([sys.executable, "-c", HELP, *scripts()], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_every_rule_has_its_script_and_every_script_says_what_it_does():
    rules = "".join(p.read_text() for p in (ROOT / "rules").glob("*.smk"))
    called = {f"scripts/{name}.py" for name in re.findall(r'job=job\("(\w+)"', rules)}
    assert called <= set(scripts())
    by_hand = [
        "accept_packages",
        "describe_config",
        "job",
        "pin",
        "plan_study",
        "summarise_benchmarks",
        "why",
        "write_environments",
    ]
    assert set(scripts()) - called == {f"scripts/{name}.py" for name in by_hand}


def test_scripts_and_library_know_nothing_of_the_whole_study_or_the_engine():
    for path in scripts():
        text = (ROOT / path).read_text()
        assert "snakemake" not in text.partition('"""')[2].partition('"""')[2], path
        assert "rlgen.study.config " not in text or path.endswith("describe_config.py"), path


def test_rules_pass_every_option_that_their_script_requires():
    for rule_file in sorted((ROOT / "rules").glob("*.smk")):
        commands = re.findall(r'job=job\("(\w+)".*?shell:\n(.*?)\n\n', rule_file.read_text() + "\n\n", flags=re.S)
        assert len(commands) == rule_file.read_text().count("job=job("), rule_file.name
        for name, call in commands:
            script = (ROOT / f"scripts/{name}.py").read_text()
            passed = set(re.findall(r"--[\w-]+", call.partition(" -- ")[2]))
            known = set(re.findall(r'"(--[\w-]+)"', script))
            calls = re.findall(r"add_argument\((.*?)\)\n", script, flags=re.S)
            required = {re.search(r"--[\w-]+", c)[0] for c in calls if "required=True" in c}
            assert required and required <= passed <= known, f"{rule_file.name}: {call}"

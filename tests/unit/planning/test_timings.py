"""Benchmark tables of jobs, added up per rule."""

from rlgen.planning.timings import summary


def test_jobs_add_up_per_rule(tmp_path):
    head = "s\th:m:s\tmax_rss\tmax_vms\tcpu_time\n"
    (tmp_path / "steer").mkdir()
    (tmp_path / "steer/seed0.tsv").write_text(head + "10.0\t0:00:10\t300.5\t900\t9.0\n")
    (tmp_path / "steer/seed1.tsv").write_text(head + "12.0\t0:00:12\t310.0\t900\t11.0\n")
    (tmp_path / "fig1.tsv").write_text(head + "0.2\t0:00:00\t-\t-\t0\n")
    table = summary(tmp_path).set_index("rule")
    assert table.loc["steer"].to_list() == [2, 22.0, 12.0, 310.0, 20.0]
    assert table.loc["all", ["jobs", "seconds", "peak_mb"]].to_list() == [3, 22.2, 310.0]
    assert summary(tmp_path / "nothing").empty


def test_what_a_job_noted_of_itself_counts_instead_of_what_the_engine_saw(tmp_path):
    head = "s\th:m:s\tmax_rss\tmax_vms\tcpu_time\n"
    benchmarks, manifests = tmp_path / "benchmarks", tmp_path / "manifests/steer"
    (benchmarks / "steer").mkdir(parents=True)
    manifests.mkdir(parents=True)
    for seed in (0, 1, 2):
        (benchmarks / f"steer/seed{seed}.tsv").write_text(head + "10.0\t0:00:10\t20.5\t900\t0.1\n")
    (manifests / "seed0.run.json").write_text('{"peak_mb": 310.5, "cpu_s": 9.5, "wall_s": 9.9}')
    (manifests / "seed1.run.json").write_text('{"wall_s": 9.9}')  # of a version that did not note it
    row = summary(benchmarks).set_index("rule").loc["steer"]
    assert row.to_list() == [3, 30.0, 10.0, 310.5, 9.7]

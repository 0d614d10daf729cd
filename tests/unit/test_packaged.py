"""Files inside installed packages are found, and no package is imported."""

import sys

import pytest

from rlgen.files import ArtifactError
from rlgen.packaged import is_packaged, local_path


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "site/some_model"
    (folder / "weights").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "weights/a.gguf").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


def test_a_file_inside_a_package_is_found_without_importing_it(package):
    assert local_path("package:some_model/weights/a.gguf") == package / "weights/a.gguf"
    message = r"package:some_model/weights/b\.gguf: package some_model has no such file; expected one of a\.gguf"
    with pytest.raises(ArtifactError, match=message):
        local_path("package:some_model/weights/b.gguf")
    assert "some_model" not in sys.modules


def test_a_package_that_is_not_installed_is_told_how_to_install():
    message = r"package:no_model/a\.gguf: no package no_model is installed; run `pip install --no-deps no-model`"
    with pytest.raises(ArtifactError, match=message):
        local_path("package:no_model/a.gguf")


def test_a_path_is_a_path(package):
    assert local_path(str(package / "weights/a.gguf")) == package / "weights/a.gguf"
    with pytest.raises(ArtifactError, match=r"c\.gguf: no such file; expected a file"):
        local_path(str(package / "c.gguf"))


@pytest.mark.parametrize(
    ("text", "packaged"),
    [
        ("package:a/b.gguf", True),
        ("package:a/b/c", True),
        ("package:a", False),
        ("package:a.b/c", False),  # to find a part of a package runs the package
        ("package:a/../c", False),
        ("a/b", False),
    ],
)
def test_names_of_files_inside_a_package(text, packaged):
    assert is_packaged(text) == packaged

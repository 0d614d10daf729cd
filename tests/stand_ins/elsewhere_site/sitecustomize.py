"""Found by every Python whose PYTHONPATH names this folder: jobs are given the device of `elsewhere.py`.

What is changed is `rlgen.compute.start`, which says where a script computes. It is changed when it is imported, so
that a process that computes nothing imports no torch.
"""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))


class _Compute(MetaPathFinder, Loader):
    """Loads `rlgen.compute` and puts the other device into it."""

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == "rlgen.compute" else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        found = PathFinder.find_spec("rlgen.compute", sys.modules["rlgen"].__path__)
        module.__file__ = found.origin
        found.loader.exec_module(module)
        start = module.start

        def start_elsewhere(*arguments):
            from elsewhere import elsewhere

            start(*arguments)
            self.within = elsewhere()  # to the end of the process
            return self.within.__enter__()

        module.start = start_elsewhere


sys.meta_path.insert(0, _Compute())

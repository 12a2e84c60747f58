"""What pyproject.toml cannot say: which kernels and which commit a build of the native module is made with.

FASTLOAD_KERNELS   object file of `scripts/build-kernels` to link in; unset or empty: none, numba compiles them just in time
FASTLOAD_COMMIT    the commit that `fastload --version` names; unset or empty: unknown
"""

from __future__ import annotations

import os

from setuptools import setup
from setuptools.command.build_ext import build_ext


class BuildNative(build_ext):
    """Compiles the native module with what the environment names, always anew: an old object knows nothing of it."""

    def finalize_options(self) -> None:
        """Add the macros and the object file to the extension that pyproject.toml describes; an editable build comes here twice."""
        super().finalize_options()
        self.force = True
        kernels, commit = os.environ.get("FASTLOAD_KERNELS"), os.environ.get("FASTLOAD_COMMIT")
        for extension in self.extensions:
            if kernels and kernels not in extension.extra_objects:
                extension.define_macros.append(("FL_KERNELS", "1"))
                extension.extra_objects.append(kernels)
            if commit:
                if not commit.replace("-", "").isalnum():
                    raise SystemExit(f"FASTLOAD_COMMIT={commit!r} is not the name of a commit")
                macro = ("FL_COMMIT", f'"{commit}"')
                if macro not in extension.define_macros:
                    extension.define_macros.append(macro)


setup(cmdclass={"build_ext": BuildNative})

"""The native build; everything else about the package stands in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

# COPYPUMP_SANITIZE=1 builds for AddressSanitizer and UBSan.
sanitize = (
    ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g1", "-O1"]
    if os.environ.get("COPYPUMP_SANITIZE")
    else ["-O3", "-g0"]
)

# Cython's own code for memoryviews, compiled once for all: in each module it would take as long as the rest.
SHARED = "copypump._shared"

MODULES = (
    "copypump.codec._encode",  # the largest first, for a build in parallel
    "copypump.codec._decode",
    "copypump.codec._decode_moments",
    "copypump.codec._decode_nested",
    "copypump.codec._decode_numbers",
    "copypump.codec._decode_tiles",
    "copypump.codec._decode_vectors",
    "copypump.codec._rewrite",
    "copypump.codec._framing",
    "copypump.codec._fields",
    "copypump.codec._buffers",
    "copypump.postgres._copy",
)

extensions = [
    Extension(
        name,
        [name.replace(".", "/") + (".c" if name == SHARED else ".pyx")],
        extra_compile_args=[*sanitize, "-Wall", "-Wno-unused-function"],
        extra_link_args=sanitize[:1] if os.environ.get("COPYPUMP_SANITIZE") else [],
    )
    for name in (SHARED, *MODULES)
]

if __name__ == "__main__":  # processes that cythonize starts may import this file again
    jobs = os.cpu_count() or 1
    setup(
        ext_modules=cythonize(
            extensions,
            nthreads=jobs,
            shared_utility_qualified_name=SHARED,
            language_level=3,
            compiler_directives={
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
                "freethreading_compatible": False,
            },
        ),
        options={"build_ext": {"parallel": jobs}},
    )

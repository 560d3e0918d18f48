"""The native build; everything else about the package stands in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

# COPYPUMP_SANITIZE=1 builds for AddressSanitizer and UBSan.
sanitize = (
    ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g", "-O1"]
    if os.environ.get("COPYPUMP_SANITIZE")
    else ["-O3"]
)

extensions = [
    Extension(
        name,
        [name.replace(".", "/") + ".pyx"],
        extra_compile_args=[*sanitize, "-Wall", "-Wno-unused-function"],
        extra_link_args=sanitize[:1] if os.environ.get("COPYPUMP_SANITIZE") else [],
    )
    for name in (
        "copypump.codec._buffers",
        "copypump.codec._framing",
        "copypump.codec._fields",
        "copypump.codec._rewrite",
        "copypump.codec._decode",
        "copypump.codec._decode_moments",
        "copypump.codec._decode_nested",
        "copypump.codec._decode_numbers",
        "copypump.codec._decode_vectors",
        "copypump.codec._encode",
        "copypump.postgres._copy",
    )
]

setup(
    ext_modules=cythonize(
        extensions,
        language_level=3,
        compiler_directives={
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "freethreading_compatible": False,
        },
    )
)

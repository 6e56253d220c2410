"""compile_imports.py TARGET NAME=FOLDER...

Writes the compiled form of every module that a training imports, for an image whose file system is read-only: there Python could keep none, and
would compile torch anew at every start. A module of FOLDER goes to TARGET/NAME. The result does not depend on times of files.
"""

import importlib
import py_compile
import sys
from pathlib import Path

from modelwright_trainer.nursery import load

#: What a job imports beside the package and its libraries.
LATER_STILL = ("onnxruntime", "argparse", "traceback", "urllib.request", "ssl")


def main() -> None:
    target = Path(sys.argv[1])
    folders = [(name, Path(folder).resolve()) for name, folder in (argument.split("=", 1) for argument in sys.argv[2:])]
    load()
    for name in LATER_STILL:
        importlib.import_module(name)
    sources = {Path(file).resolve() for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None)) and file.endswith(".py")}
    count = 0
    for source in sorted(sources):
        # The innermost folder: an environment may lie below the standard library.
        for name, folder in sorted(folders, key=lambda entry: -len(str(entry[1]))):
            if source.is_relative_to(folder):
                relative = source.relative_to(folder)
                compiled = target / name / relative.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
                py_compile.compile(
                    str(source), str(compiled), dfile=str(relative), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
                )
                count += 1
                break
    print(f"{count} modules")


if __name__ == "__main__":
    main()

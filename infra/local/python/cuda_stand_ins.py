"""Lets the torch wheel of PyPI run on a machine without CUDA and without its 4 GB of CUDA libraries.

That wheel links libtorch_cuda.so against NVIDIA's libraries, so `import torch` fails where they are missing. This script
reads which libraries, symbol versions and symbols torch wants and builds one tiny shared library for each that is absent. Every
function in them returns 100 (cudaErrorNoDevice), so torch finds no device and uses the CPU.

usage: cuda_stand_ins.py SITE_PACKAGES     (needs gcc and readelf)
"""

import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

NVIDIA = re.compile(r"lib(cu|nv|nccl)")
RETURNS_TEXT = re.compile(r"Get\w*(String|Name)$")
ASSEMBLY_HEAD = """.text
no_device: movl $100, %eax
 ret
no_device_text: leaq message(%rip), %rax
 ret
.section .rodata
message: .asciz "no CUDA on this machine"
.section .note.GNU-stack,"",@progbits
.text
"""


def readelf(*arguments: str) -> str:
    return subprocess.run(["readelf", "-W", *arguments], capture_output=True, text=True, check=True).stdout


class Wants:
    """What the libraries of a folder want from libraries that are not there."""

    def __init__(self, folder: Path) -> None:
        self.libraries: set[str] = set()
        self.versions: dict[str, set[str]] = defaultdict(set)  # library -> symbol versions
        self.symbols: dict[str, str] = {}  # undefined symbol -> its version, or ''
        defined: set[str] = set()
        for file in sorted(folder.glob("*.so*")):
            if file.is_file() and not NVIDIA.match(file.name):
                self.libraries |= set(re.findall(r"NEEDED.*\[(.*)\]", readelf("-d", str(file))))
                self._read_versions(file)
                self._read_symbols(file, defined)
        self.libraries = {name for name in self.libraries if NVIDIA.match(name) and not (folder / name).exists()}
        for name in defined:
            self.symbols.pop(name, None)

    def _read_versions(self, file: Path) -> None:
        library = None
        for line in readelf("-V", str(file)).splitlines():
            if match := re.search(r"File: (\S+)", line):
                library = match[1]
            elif library and (match := re.search(r"Name: (\S+) +Flags: .*Version: \d+", line)):
                self.versions[library].add(match[1])
            elif "section" in line:
                library = None

    def _read_symbols(self, file: Path, defined: set[str]) -> None:
        for line in readelf("--dyn-syms", str(file)).splitlines():
            columns = line.split()
            if len(columns) < 8 or not columns[0].endswith(":") or columns[0] == "Num:":
                continue
            name, _, version = columns[7].partition("@")
            if columns[6] == "UND":
                self.symbols[name] = version.lstrip("@")
            else:
                defined.add(name)

    def by_library(self) -> dict[str, list[tuple[str, str]]]:
        """Library -> (symbol, version); a symbol without version goes to the CUDA runtime, for the loader looks in all."""
        library_of = {version: library for library in self.libraries for version in self.versions[library]}
        runtime = next((name for name in sorted(self.libraries) if name.startswith("libcudart")), min(self.libraries, default=""))
        wanted: dict[str, list[tuple[str, str]]] = {library: [] for library in sorted(self.libraries)}
        for name, version in sorted(self.symbols.items()):
            if version in library_of:
                wanted[library_of[version]].append((name, version))
            elif not version and runtime and re.match(r"(__)?(cu|nv|nccl)", name):
                wanted[runtime].append((name, ""))
        return wanted


def build(folder: Path, library: str, symbols: list[tuple[str, str]], versions: set[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        assembly, script = Path(scratch, "stand_in.S"), Path(scratch, "versions")
        lines = [ASSEMBLY_HEAD]
        for name, _ in symbols:
            target = "no_device_text" if RETURNS_TEXT.search(name) else "no_device"
            lines.append(f".globl {name}\n.type {name},@function\n.set {name},{target}\n")
        assembly.write_text("".join(lines))
        nodes = []
        for version in sorted(versions) or [library]:
            names = " ".join(f'"{name}";' for name, of in symbols if of == version)
            nodes.append(f"{version} {{ {'global: ' + names if names else ''} }};\n")
        script.write_text("".join(nodes))
        made = folder / f".{library}.{os.getpid()}"
        subprocess.run(
            ["gcc", "-shared", "-nostdlib", "-o", str(made), f"-Wl,-soname,{library}", f"-Wl,--version-script,{script}", str(assembly)],
            check=True,
        )
        made.rename(folder / library)


def main(site_packages: str) -> None:
    folder = Path(site_packages, "torch", "lib")
    wants = Wants(folder)
    libraries = wants.by_library()
    for number, (library, symbols) in enumerate(libraries.items(), start=1):
        build(folder, library, symbols, wants.versions[library])
        print(f"stand-in {number} of {len(libraries)}: {library}, {len(symbols)} functions", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""The end of the demo: the trained network leaves as a plain library and is called without Phalanx's compiler.

`ship` exports `predict` with a named batch size and three levels of x86-64 (or for the host elsewhere), loads it in a
fresh process that never imports MLIR, and calls it from a C program; all three must agree. `show` prints what the
function is at each stage and writes the viewer's page.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import phalanx as px
from phalanx.compiler.viewer.page import page

CLIENT = """
import sys, time
import numpy as np
import phalanx as px
predict = px.load(sys.argv[1])
images = np.load(sys.argv[2])
first = predict(images[:1])
print(time.time())
np.save(sys.argv[3], np.asarray(predict(images)))
assert "mlir" not in sys.modules
"""

PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include "predict.h"

int main(void) {
  int64_t n, i, best, k;
  float *x, *out;
  if (fread(&n, sizeof n, 1, stdin) != 1) return 2;
  x = malloc(sizeof(float) * (size_t)n * 64);
  out = malloc(sizeof(float) * (size_t)n * 10);
  if (!x || !out || fread(x, sizeof(float), (size_t)n * 64, stdin) != (size_t)n * 64) return 3;
  int32_t status = predict(x, out, n);
  if (status != PHALANX_OK) { fprintf(stderr, "%s\\n", predict_status_text(status)); return 4; }
  for (i = 0; i < n; ++i) {
    for (best = 0, k = 1; k < 10; ++k) if (out[i * 10 + k] > out[i * 10 + best]) best = k;
    printf("%d\\n", (int)best);
  }
  return 0;
}
"""


def show(predict: Callable[..., Any], viewer: Path, console: Console) -> None:
    """The size of `predict` at each stage with one telling line, and the page with all of it."""
    compiled = px.compile(predict, x="f32[n,64]")
    marks = {"traced": "px.", "px": "px.", "linalg": "linalg.generic", "clusters": "call @", "scheduled": "scf.for",
             "buffers": "memref.load", "llvm": "llvm.func", "asm": "vfmadd"}
    for stage, text in compiled.stages.items():
        lines = text.splitlines()
        mark = marks.get(stage, "")
        telling = next((line.strip() for line in lines if mark and mark in line), "")
        console.print(f"  {stage:<10}{len(lines):>6} lines   {telling[:88]}", markup=False, highlight=False)
    viewer.write_text(page([("predict", compiled)]), encoding="utf-8")
    console.print(f"all stages side by side: {viewer} ({viewer.stat().st_size / 1024:.0f} KiB)")


def ship(predict: Callable[..., Any], images: Any, labels: Any, console: Console) -> None:
    """Export, load elsewhere, call from C; raises SystemExit when the answers differ."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = time.perf_counter()
        target = "x86-64-v2,x86-64-v3,x86-64-v4" if platform.machine() == "x86_64" else "host"
        px.export(predict, str(folder / "predict.so"), "f32[n,64]", target=target)
        library = folder / "predict.so"
        console.print(f"exported predict for {target}: {library.stat().st_size / 1024:.0f} KiB with its weights, header "
                      f"{(folder / 'predict.h').stat().st_size / 1024:.1f} KiB, in {time.perf_counter() - begin:.1f} s")
        answers = {"a fresh Python without MLIR": _loaded(folder, images, console)}
        if shutil.which("cc"):
            answers["a C program"] = _from_c(folder, images)
        else:
            console.print("no C compiler here: the C program is left out")
        expected = np.argmax(np.asarray(predict(images)), axis=1)
        for who, found in answers.items():
            console.print(f"called from {who}: accuracy {np.mean(found == labels):.2%}")
            if not np.array_equal(found, expected):
                raise SystemExit(f"{who} gives other answers")


def _loaded(folder: Path, images: Any, console: Console) -> Any:
    np.save(folder / "images.npy", images)
    files = [str(folder / f) for f in ("predict.so", "images.npy", "result.npy")]
    begin = time.time()
    output = subprocess.run([sys.executable, "-c", CLIENT, *files], capture_output=True, text=True, check=True).stdout
    console.print(f"process start to first result: {json.loads(output) - begin:.2f} s")
    return np.argmax(np.load(folder / "result.npy"), axis=1)


def _from_c(folder: Path, images: Any) -> Any:
    (folder / "main.c").write_text(PROGRAM)
    library = folder / "predict.so"
    subprocess.run(["cc", "-O1", "-o", "main", "main.c", str(library), f"-Wl,-rpath,{folder}"], cwd=folder, check=True)
    sent = np.int64(len(images)).tobytes() + np.ascontiguousarray(images, np.float32).tobytes()
    output = subprocess.run([str(folder / "main")], input=sent, capture_output=True, check=True).stdout
    return np.array([int(line) for line in output.split()])

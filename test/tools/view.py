# RUN: %phalanx view %s:difference -o %t.html | FileCheck %s --check-prefix=WROTE
# RUN: FileCheck %s --check-prefix=PAGE < %t.html
# RUN: %phalanx view %s:difference -o %t.html --against-option fuse=0 --against-option opt_level=2 \
# RUN:   | FileCheck %s --check-prefix=WROTE
# RUN: FileCheck %s --check-prefix=TWO < %t.html
# RUN: not %phalanx view %s:difference -o %t.html --against-option fusee=0 2>&1 | FileCheck %s --check-prefix=OPTION
# RUN: not %phalanx view %s:difference -o %t.html --against-option fuse=perhaps 2>&1 | FileCheck %s --check-prefix=VALUE
# RUN: not %phalanx view %s:difference -o /nowhere/page.html 2>&1 | FileCheck %s --check-prefix=FOLDER
# RUN: %phalanx view --help | FileCheck %s --check-prefix=HELP


def difference(x: "f32[8]", y: "f32[8]"):  # noqa: F821
    return (x - y) * (x - y)


# WROTE: wrote {{.*}}.html, {{[0-9]+}} KiB

# PAGE: <title>difference - Phalanx</title>
# PAGE-NOT: http{{s?}}://{{[^w]}}
# PAGE: <script id="data" type="text/plain">H4sI

# TWO: <title>difference and difference, fuse=0, opt_level=2 - Phalanx</title>

# OPTION: error: options: unknown option 'fusee'
# OPTION-NEXT: hint: did you mean 'fuse'

# VALUE: error: PHALANX_FUSE: expected 0 or 1, got 'perhaps'

# FOLDER: error: cannot write /nowhere/page.html: No such file or directory

# HELP: Example: phalanx view model.py:predict

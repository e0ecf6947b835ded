"""Empty modules the bindings find in place of upstream op views that nobody here uses.

At the first op of a dialect the bindings import `<prefix>.<dialect>`. The views of linalg bring a whole language for
defining ops, 50 ms of the first call of a process, those of llvm another 15 ms. Ops without a view are plain
`ir.OpView`s; `from mlir.dialects import linalg` still gives the upstream module.
"""

"""No op views of llvm: see the package."""

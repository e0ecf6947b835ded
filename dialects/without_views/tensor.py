"""No op views of tensor: see the package."""

"""No op views of linalg: see the package."""

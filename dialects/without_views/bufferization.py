"""No op views of bufferization: see the package."""

"""Being here, it puts this folder on the import path: the networks in PyTorch serve the tests in convert/ too."""

"""Developer tools that generate pages of docs/ and compile reports; not installed with the package."""

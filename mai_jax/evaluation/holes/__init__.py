"""Sets of holes that can be published: drawn with the same bytes on any machine, or listed from existing mask files."""

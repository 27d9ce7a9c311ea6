"""The model in the package, the default of --model: a folder that `mai models pack` wrote, with its model card."""

from pathlib import Path

NAME = "mai_photos"
FOLDER = Path(__file__).parent / NAME
PURPOSE, LICENCE = "photographs: scratches, small and medium holes", "research use"

"""A tfds builder of a toy data set like Places365, which needs neither a download nor TensorFlow."""

import tensorflow_datasets as tfds

from mai_jax.data.sources import SCENES

LABELS = ("airfield", *SCENES, "wheat_field")


class Scenes(tfds.core.GeneratorBasedBuilder):
    """Images with the labels of `LABELS` in turn and with file names, as in Places365."""

    VERSION = tfds.core.Version("1.0.0")
    folder = None  # with 0.png, 1.png, ...
    failure = None  # an exception to raise instead of yielding images

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=LABELS),
            "filename": tfds.features.Text(),
        }))

    def _split_generators(self, _):
        return {"train": self._generate_examples(0, 30), "validation": self._generate_examples(30, 39),
                "test": self._generate_examples(39, 42)}

    def _generate_examples(self, first, end):
        if self.failure is not None:
            raise self.failure
        for i in range(first, end):
            name = f"{self.folder}/{i}.png"
            yield i, {"image": name, "label": i % len(LABELS), "filename": f"{i}.png"}

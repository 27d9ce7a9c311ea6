"""MAI on Places2 as published: 256 px, Tables 1-3, batch 6, sections 4.1-4.2.

python train.py --config=configs/places2.py
python evaluate.py --workdir=runs/places2

Data: tfds `places365_small`, fetched and prepared at first use (29 GiB): the 35,000 training images of the paper's
seven scenes (its 196,981 need Places365-Challenge), and for the test their 700 validation images.
Any folder of images instead: --config.data.train=DIR.
Hardware: one accelerator with 12 GB holds batch 6. On n devices give --config.batch_size, a multiple of n, and scale
the steps of both phases by 6 / batch size. Hours and numbers reached: not measured yet.
"""

from mai_jax.config import Config, Data, Phase
from mai_jax.variants import variant


def get_config(name: str = "mai") -> Config:
    config = Config(
        data=Data(train="places2", shorter_side=350),
        train=Phase(steps=2_000_000, learning_rate=2e-4),
        finetune=Phase(steps=1_000_000, learning_rate=5e-5, freeze_encoder_norm=True),
    )
    return variant(config, name)

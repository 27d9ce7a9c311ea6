"""MAI on CelebA as published: 256 px centre crops, Tables 1-3, batch 6, sections 4.1-4.2.

python train.py --config=configs/celeba.py
python evaluate.py --workdir=runs/celeba

Data: tfds `celeb_a`, fetched and prepared at first use (1.4 GiB): 182,637 training images (its training and validation
parts), 19,962 test images. Any folder of images instead: --config.data.train=DIR.
Hardware: one accelerator with 12 GB holds batch 6. On n devices give --config.batch_size, a multiple of n, and scale
the steps of both phases by 6 / batch size. Hours and numbers reached: not measured yet.
"""

from mai_jax.config import Config, Data, Phase
from mai_jax.variants import variant


def get_config(name: str = "mai") -> Config:
    config = Config(
        data=Data(train="celeb_a", shorter_side=256, crop="center"),
        train=Phase(steps=350_000, learning_rate=2e-4),
        finetune=Phase(steps=150_000, learning_rate=5e-5, freeze_encoder_norm=True),
    )
    return variant(config, name)

"""MAI on Places2 with the published settings: 256 px, Tables 1-3, batch 6, sections 4.1-4.2.

    python train.py --config=configs/places2.py
    python evaluate.py --workdir=runs/places2

Data      tfds `places365_small`, downloaded and prepared at first use (29 GiB): 35,000 training images of the paper's
          seven scenes (its 196,981 need Places365-Challenge) and their 700 validation images for the test.
          For a folder of images instead: --config.data.train=DIR.
Hardware  one accelerator with 12 GB for batch 6. On n devices set --config.batch_size to a multiple of n and scale the
          steps of both phases by 6 / batch size.
Hours     not measured yet.
Numbers   not measured yet; the paper's are in docs/table4.md.
"""

from mai_jax.config import VGG16, Config, Data, Phase
from mai_jax.variants import variant


def get_config(name: str = "mai") -> Config:
    config = Config(
        data=Data(train="places2", shorter_side=350),
        vgg16=VGG16(normalize=False),
        main_phase=Phase(steps=2_000_000, learning_rate=2e-4),
        finetune_phase=Phase(steps=1_000_000, learning_rate=5e-5, freeze_encoder_norm=True),
    )
    return variant(config, name)

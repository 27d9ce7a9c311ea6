"""MAI on Paris StreetView with the published settings: 256 px, Tables 1-3, batch 6, sections 4.1-4.2.

    python train.py --config=configs/paris_streetview.py --config.data.train=DIR --config.data.test=DIR
    python evaluate.py --workdir=runs/paris_streetview

Data      14,900 training and 100 test images, which the authors of "Context encoders" send on request.
Hardware  one accelerator with 12 GB for batch 6. On n devices set --config.batch_size to a multiple of n and scale the
          steps of both phases by 6 / batch size.
Hours     not measured yet.
Numbers   not measured yet; the paper's are in docs/table4.md.
"""

from mai_jax.config import VGG16, Config, Data, Phase
from mai_jax.variants import variant


def get_config(name: str = "mai") -> Config:
    config = Config(
        data=Data(train="paris_streetview/train", test="paris_streetview/test", shorter_side=350),
        vgg16=VGG16(normalize=False),
        main_phase=Phase(steps=400_000, learning_rate=2e-4),
        finetune_phase=Phase(steps=200_000, learning_rate=5e-5, freeze_encoder_norm=True),
    )
    return variant(config, name)

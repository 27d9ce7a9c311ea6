"""MAI in miniature: 64 px, quarter width, on the photographs that ship inside scikit-image.

python train.py --config=configs/quickstart.py          two CPU cores, about 2 minutes
python evaluate.py --workdir=runs/quickstart

The same modules, losses, players and checkpoints as the full run, but untrained VGG-16 features, whose Gram matrices
mean nothing and would, at the published weight, drown the pixel losses; so would the young discriminator in so few
steps. Both weigh little here.
"""

from mai_jax.config import PIC, VGG16, Config, Data, Discriminator, Generator, Losses, Phase, Run
from mai_jax.variants import variant


def get_config(name: str = "mai") -> Config:
    config = Config(
        image_size=64,
        batch_size=8,
        data=Data(train="sample_photos", shorter_side=80),
        generator=Generator(width=16),
        discriminator=Discriminator(width=16),
        pic=PIC(width=8, samples=5),
        losses=Losses(style=0.1, adversarial=0.001),
        vgg16=VGG16(weights="random", width=16),
        train=Phase(steps=860, learning_rate=3e-3),
        finetune=Phase(steps=440, learning_rate=7.5e-4, schedule="cosine", freeze_encoder_norm=True),
        run=Run(log_every=50, save_every=200, pictures_every=400, pictures=3),
    )
    return variant(config, name)

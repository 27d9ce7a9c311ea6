"""A few hundred photographs on a CPU: 128 px, three eighths of the width. The runs that docs/results.md reports.

python tables.py --config=configs/photos.py --config.data.train=DIR --config.data.test=DIR \\
                 --methods=pconv,mai_no_attention,mai

Two CPU cores, about a quarter of an hour for each method. The perceptual and the style term are left out: they need
VGG-16's trained weights. The phases, two to one as the paper's, were tried on a split of the training photographs at
64 px, and learning rates of 1e-3 and 3e-3; this one lies between, for a wider network. With a GPU leave this scale:
configs/places2.py takes any folder.
"""

from mai_jax.config import PIC, VGG16, Config, Data, Discriminator, Generator, Losses, Phase, Run
from mai_jax.variants import variant


def get_config(name: str = "mai") -> Config:
    config = Config(
        image_size=128,
        batch_size=8,
        data=Data(shorter_side=160),
        generator=Generator(width=24),
        discriminator=Discriminator(width=24),
        pic=PIC(width=12, samples=5),
        losses=Losses(perceptual=0.0, style=0.0, adversarial=0.001),
        vgg16=VGG16(weights="random", width=16),  # EdgeConnect has terms of features of its own
        train=Phase(steps=3200, learning_rate=2e-3),
        finetune=Phase(steps=1600, learning_rate=5e-4, schedule="cosine", freeze_encoder_norm=True),
        run=Run(log_every=50, save_every=200, pictures_every=1600, pictures=4),
    )
    return variant(config, name)

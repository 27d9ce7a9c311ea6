"""A few hundred photographs on a CPU: 128 px, three eighths of the width. The runs that docs/results.md reports.

python tables.py --config=configs/photos.py --config.data.train=DIR --config.data.test=DIR \\
                 --methods=pconv,mai_no_attention,mai

Two CPU cores, about an hour and a half. The VGG-16 features are untrained, as in configs/quickstart.py, where the loss
weights are explained. With a GPU leave this scale: configs/places2.py takes any folder.
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
        losses=Losses(style=0.1, adversarial=0.001),
        vgg16=VGG16(weights="random", width=16),
        train=Phase(steps=3000, learning_rate=1e-3, schedule="cosine"),
        finetune=Phase(steps=300, learning_rate=1e-4, schedule="cosine", freeze_encoder_norm=True),
        run=Run(log_every=50, save_every=250, pictures_every=1000, pictures=4),
    )
    return variant(config, name)

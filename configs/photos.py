"""MAI on a few hundred photographs on a CPU: 128 px, 3/8 of the published width. The settings of docs/results.md.

    python tables.py --config=configs/photos.py --config.data.train=DIR --config.data.test=DIR \\
                     --methods=pconv,mai_no_attention,mai

Data      two folders of photographs; docs/results.md uses 460 for training and 220 for the test.
Hardware  two CPU cores. With a GPU use configs/places2.py, which accepts any folder.
Hours     a quarter to half an hour per method.
Numbers   see docs/results.md.

The perceptual and style terms are off: they need VGG-16's trained weights. The ratio of the phases' steps, two to one,
is the paper's. Phase lengths and learning rates of 1e-3 and 3e-3 were compared on a split of the training photographs
at 64 px; 2e-3 is between them, for a wider network.
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
        pic=PIC(width=12, num_samples=5),
        losses=Losses(perceptual=0.0, style=0.0, adversarial=0.001),
        vgg16=VGG16(weights="random", width=16),  # of EdgeConnect's feature terms
        main_phase=Phase(steps=3200, learning_rate=2e-3),
        finetune_phase=Phase(steps=1600, learning_rate=5e-4, schedule="cosine", freeze_encoder_norm=True),
        run=Run(log_every=50, save_every=200, validation_every=1600, validation_images=4),
    )
    return variant(config, name)

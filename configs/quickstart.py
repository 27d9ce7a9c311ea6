"""MAI in miniature: 64 px, quarter width, on the photographs that ship inside scikit-image.

python train.py --config=configs/quickstart.py          two CPU cores, about 3 minutes
python evaluate.py --workdir=runs/quickstart

The same modules, losses, players and checkpoints as the full run; the VGG-16 features are untrained.
"""

from mai_jax.config import VGG16, Config, Data, Discriminator, Generator, Phase, Run


def get_config(method: str = "mai") -> Config:
    return Config(
        method=method,
        image_size=64,
        batch_size=8,
        data=Data(train="sample_photos", shorter_side=128),
        generator=Generator(width=16),
        discriminator=Discriminator(width=16),
        vgg16=VGG16(weights="random", width=16),
        train=Phase(steps=700, learning_rate=2e-3, schedule="cosine"),
        finetune=Phase(steps=100, learning_rate=2e-4, schedule="cosine", freeze_encoder_norm=True),
        run=Run(log_every=20, save_every=200, pictures_every=400, pictures=3),
    )

